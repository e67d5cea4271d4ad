import TensorCore

extension Report {
    /// The report as Markdown: tables and lines of text, and the document if the report has a mark.
    public var markdown: String {
        // Strings of JSON hold no line that could end the block.
        let document = mark == nil ? [] : ["```json\n\(json.rendered())\n```\n"]
        return
            (["# \(title.escapingControlCharacters.escapedForMarkdown)\n"]
            + summary.map { "\(Self.paragraph($0))\n" } + Self.blocks(of: sections)
            + document + (origin?.markdown ?? []))
            .joined(separator: "\n")
    }

    /// A sentence; at the beginning of a line, a name may not begin a list.
    private static func paragraph(_ sentence: String) -> String {
        let text = sentence.escapingControlCharacters.escapedForMarkdown
        return text.first.map { "-+=".contains($0) } ?? false ? "\\" + text : text
    }

    private static func blocks(of sections: [Section]) -> [String] {
        sections.flatMap { section -> [String] in
            switch section {
            case .facts(let facts): facts.shown.map { [$0.markdown] } ?? []
            case .table(let table): table.shown.map { [$0.markdown] } ?? []
            case .matrix(let matrix): captioned(matrix.caption, matrix.shown)
            case .bars(let bars): captioned(bars.caption, bars.table.shown)
            case .scatter(let scatter): captioned(scatter.caption, scatter.table.shown)
            case .text([]): []
            // Indented by four, a line is what it is, whatever it holds.
            case .text(let lines): [lines.map { "    \($0.escapingControlCharacters)\n" }.joined()]
            case .group(let sections): blocks(of: sections)
            case .reports(_, let reports): reports.flatMap { blocks(of: $0.sections) }
            case .series, .warnings: []
            }
        }
    }

    private static func captioned(_ caption: String?, _ table: Reporting.Table?) -> [String] {
        guard let table else { return [] }
        return (caption.map { ["\($0.escapingControlCharacters.escapedForMarkdown):\n"] } ?? []) + [table.markdown]
    }
}

extension Report.Origin {
    /// What was typed, read and done with, behind what came of it.
    fileprivate var markdown: [String] {
        func verbatim(_ text: String) -> String {
            // Carriage returns would end lines, too.
            text.split(separator: "\n", omittingEmptySubsequences: false).map {
                $0.isEmpty ? "\n" : "    \(String($0).escapingControlCharacters)\n"
            }.joined()
        }
        var files = Reporting.Table([.init("input"), .init("bytes", .right), .init("digest")])
        for input in inputs { files.append([input.path, input.byteCount.grouped, input.digest]) }
        var programs = Reporting.Table([.init("program or library"), .init("version")])
        for version in versions { programs.append([version.name, version.version]) }
        return ["## Where the figures come from\n", verbatim(command)]
            + (recipe.map { ["The recipe:\n", verbatim($0)] } ?? [])
            + (inputs.isEmpty ? [] : [files.markdown]) + [programs.markdown]
    }
}

extension Table {
    fileprivate var markdown: String {
        func row(_ cells: [String]) -> String { "| " + cells.joined(separator: " | ") + " |\n" }
        return row(columns.map { showsTitles ? $0.title.escapedForMarkdown : "" })
            + row(columns.map { $0.alignment == .right ? "--:" : "---" })
            + rows.map { row($0.map(\.escapedForMarkdown)) }.joined()
    }
}

extension String {
    /// The text with a backslash before what would be markup, a formula or an address, so that names with underscores stay what they are, and
    /// with its indentation.
    fileprivate var escapedForMarkdown: String {
        let indentation = prefix { $0 == " " }
        let text = String(
            dropFirst(indentation.count).flatMap { "\\`*_{}[]<>#|~&!$@".contains($0) ? ["\\", $0] : [$0] })
        // GitHub makes links of these without brackets.
        let words = text.replacing("://", with: "\\://").replacing(/www\./.ignoresCase()) {
            "\($0.output.dropLast())\\."
        }
        return String(repeating: "&nbsp;", count: indentation.count) + words
    }
}
