/// Where a long computation reports how far it is.
///
/// Calls may come from any thread. Reports carry facts only; whether anything is shown, and how often, is the sink's matter, so
/// a computation may report as often as it likes.
public protocol ProgressSink: Sendable {
    /// Starts a piece of work, ending the one before.
    ///
    /// - Parameters:
    ///   - title: a few words that complete "is busy with", such as `writing merged.safetensors`.
    ///   - total: how many units there are; nil when unknown.
    func begin(_ title: String, total: Int?, unit: ProgressUnit)
    /// Adds finished units.
    func advance(by count: Int)
    /// Shows a short remark beside the progress, such as the current loss; it replaces the one before.
    func remark(_ text: String)
    /// Ends the piece of work.
    func end()
    /// Says something about the work to come that is worth a line of its own, such as how long it will take.
    func note(_ text: String)
}

extension ProgressSink {
    public func note(_ text: String) {}
}

/// What is counted.
public enum ProgressUnit: Sendable, Hashable {
    case bytes
    /// Steps, tensors or whatever is named, in the plural.
    case items(String)
}

/// Shows nothing.
public struct SilentProgress: ProgressSink {
    public init() {}
    public func begin(_ title: String, total: Int?, unit: ProgressUnit) {}
    public func advance(by count: Int) {}
    public func remark(_ text: String) {}
    public func end() {}
}
