/// Something that the user should know although the work goes on.
///
/// `code` is stable and listed in `docs/warnings.md`; the text may get better.
public struct Warning: Sendable, Hashable {
    /// Stable identifier, such as `format.byte_order`.
    public let code: String
    /// One sentence without the place.
    package let problem: String
    /// A text that it is about.
    public let file: String?
    /// Where in that text.
    public let position: TextPosition?

    public init(
        _ code: some WarningCode, _ problem: String, file: String? = nil, at position: TextPosition? = nil
    ) {
        self.init(code.code, problem, file: file, at: position)
    }

    private init(_ code: String, _ problem: String, file: String?, at position: TextPosition?) {
        self.code = code
        self.problem = problem
        self.file = file
        self.position = position
    }

    /// The sentence; behind the line, as messages of errors begin, too, where there is one.
    public var text: String { position.map { "line \($0.line): \(problem)" } ?? problem }

    /// The warning with a name in front, for when several things are spoken of.
    public func about(_ name: String) -> Warning { Warning(code, "\(name): \(problem)", file: file, at: position) }
}

/// The codes of a module's warnings; raw values follow the area and a dot.
public protocol WarningCode: RawRepresentable<String>, CaseIterable, Sendable {
    static var area: String { get }
}

extension WarningCode {
    package var code: String { "\(Self.area).\(rawValue)" }
}

/// What is odd about the numbers of inputs.
public enum NumberWarning: String, WarningCode {
    public static let area = "input"

    /// A tensor holds NaN or infinities.
    case notFinite = "not_finite"
}
