import TensorCore

/// What the process ends with; scripts rely on the numbers.
struct ExitStatus: Sendable, Hashable {
    let code: Int32

    /// The command did what it was asked to.
    static let done = ExitStatus(code: 0)
    /// The answer is no: a difference, damage.
    static let no = ExitStatus(code: 1)
    /// The command line makes no sense.
    static let usage = ExitStatus(DiagnosticSeverity.usage)

    /// What stands for several: the highest of their numbers.
    static func highest(_ all: [ExitStatus]) -> ExitStatus { ExitStatus(code: all.map(\.code).max() ?? 0) }

    init(code: Int32) { self.code = code }

    init(_ severity: DiagnosticSeverity) { code = severity.rawValue }
}
