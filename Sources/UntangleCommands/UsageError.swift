import TensorCore

/// A command line that makes no sense.
struct UsageError: Diagnostic, Hashable {
    let message: String
    let hint: String?
    var code: String { "usage" }
    var severity: DiagnosticSeverity { .usage }

    init(_ message: String, hint: String? = nil) {
        self.message = message
        self.hint = hint
    }
}

/// An error that no part of the product describes: a mistake of ours.
struct UnexpectedError: Diagnostic {
    let message: String
    var code: String { "internal" }
    var hint: String? { "this is a bug of untangle; please report it with the command line" }
    var severity: DiagnosticSeverity { .resources }

    init(_ error: any Error) { message = String(describing: error) }
}

extension Error {
    /// What is told of the error.
    var diagnostic: any Diagnostic { self as? any Diagnostic ?? UnexpectedError(self) }
}
