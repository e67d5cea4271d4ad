/// What a report may be written as; the raw values are extensions of files.
public enum ReportFormat: String, Sendable, CaseIterable {
    case html
    case markdown = "md"
    case csv
    case json

    /// Whether the report says where it comes from: documents are the values alone.
    public var hasOrigin: Bool { self == .html || self == .markdown }
}

extension Report {
    /// The contents of a file with the report.
    public func rendered(as format: ReportFormat) -> String {
        switch format {
        case .html: html
        case .markdown: markdown
        case .csv: csv
        case .json: json.rendered() + "\n"
        }
    }
}
