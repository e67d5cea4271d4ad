import TensorCore

/// Keeps warnings in the order in which they came, and passes each on once.
public final class WarningLog {
    public private(set) var warnings: [Warning]
    private var seen: Set<Warning>
    private let tell: (Warning) -> Void

    /// Begins with what is known.
    ///
    /// - Parameters:
    ///   - warnings: those that were told already.
    ///   - tell: told of every other one when it comes for the first time.
    public init(_ warnings: [Warning] = [], tell: @escaping (Warning) -> Void) {
        self.warnings = warnings
        self.tell = tell
        seen = Set(warnings)
    }

    /// Keeps a warning and passes it on, unless the same came before.
    public func warn(_ warning: Warning) {
        guard seen.insert(warning).inserted else { return }
        warnings.append(warning)
        tell(warning)
    }
}
