import Kernels
import Synchronization
import TensorCore

/// Merges matrices, each by a rule of its own, and multiplies them by the squares of their lengths over the mean of their kind.
///
/// A matrix that is alone of its kind is merged once; the others are merged to be measured, and merged again: to keep them would take
/// the memory of the model.
final class BalancedKinds: GroupedMerge {
    struct Member: Sendable {
        let rule: any MatrixRule
        let rows: Int
        let columns: Int
        let lambda: Double
        /// The same for the same tensor of all layers; nil outside of layers.
        let kind: TensorName?
    }

    private let members: [Member]
    private let expertCount: Int
    /// For every kind its members, where there are several.
    private let kinds: [TensorName: [Int]]
    /// By member.
    private let lengths: Mutex<[Double]>

    init(_ members: [Member], expertCount: Int) {
        self.members = members
        self.expertCount = expertCount
        var kinds: [TensorName: [Int]] = [:]
        for (place, member) in members.enumerated() {
            if let kind = member.kind { kinds[kind, default: []].append(place) }
        }
        self.kinds = kinds.filter { $0.value.count > 1 }
        lengths = Mutex(Array(repeating: 0, count: members.count))
    }

    var heldByteCount: Int { 0 }
    var comparesGroups: Bool { !kinds.isEmpty }

    func workingByteCount(group: Int) throws -> Int {
        let member = members[group]
        return try member.rule.workingByteCount(rows: member.rows, columns: member.columns, expertCount: expertCount)
            + 4 * member.rows * member.columns
    }

    private func companions(of group: Int) -> [Int]? { members[group].kind.flatMap { kinds[$0] } }

    func study(_ inputs: [MatrixInputs], group: Int) throws {
        guard companions(of: group) != nil else { return }
        let merged = try Matrix<Float>(rows: members[group].rows, columns: members[group].columns)
        _ = try members[group].rule.merge(inputs[0], into: merged)
        let length = Double(frobeniusNorm(merged))
        lengths.withLock { $0[group] = length }
    }

    func finish() {}

    func merge(_ inputs: [MatrixInputs], group: Int, into results: [Matrix<Float>]) throws -> MergeRemark? {
        let remark = try members[group].rule.merge(inputs[0], into: results[0])
        var factor = members[group].lambda
        if let companions = companions(of: group) {
            let all = lengths.withLock { lengths in companions.map { lengths[$0] } }
            let mean = all.reduce(0, +) / Double(all.count)
            let share = mean > 0 ? lengths.withLock { $0[group] } / mean : 0
            factor *= share * share
        }
        for i in 0..<results[0].count { results[0].pointer[i] = Float(factor * Double(results[0].pointer[i])) }
        return remark
    }
}
