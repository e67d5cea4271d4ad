import Reporting
import Synchronization

/// Adds up what it is told.
final class CountingProgress: ProgressSink {
    private let sum = Atomic(0)

    var count: Int { sum.load(ordering: .relaxed) }

    func begin(_ title: String, total: Int?, unit: ProgressUnit) {}
    func advance(by count: Int) { sum.add(count, ordering: .relaxed) }
    func remark(_ text: String) {}
    func end() {}
}
