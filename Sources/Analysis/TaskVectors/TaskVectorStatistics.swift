import Kernels
import TensorCore

/// How far experts moved from their base, and how much their movements agree.
public struct TaskVectorStatistics: Sendable, Hashable {
    public let experts: [String]
    /// Over all tensors.
    public let model: TaskVectorGroup
    /// By tensor or by layer, in the order of the base; empty when only the model was asked for.
    public let groups: [TaskVectorGroup]
    /// For every expert the tensors with the largest norms, largest first; those whose norm is NaN come last.
    public let largest: [[TensorNorm]]
    /// Every tensor that holds NaN or an infinity in a model, in the order of the base; of one tensor the base comes first.
    public let notFinite: [NonFiniteTensor]
    /// Task vectors with entries that F32 cannot hold although both models are finite there.
    public let beyondF32: [Overflow]

    /// A tensor and the norm of an expert's task vector in it.
    public struct TensorNorm: Sendable, Hashable {
        public let tensor: TensorName
        public let norm: Double
    }

    /// Entries of an expert's task vector in one tensor that are infinite in F32. Norms and cosines are taken in F64 there; as
    /// largest entries they are all alike, they have no spectrum, and in a written task vector they are infinite.
    public struct Overflow: Sendable, Hashable {
        public let expert: String
        public let tensor: TensorName
        public let count: Int
    }

    /// What the base is called in `notFinite`.
    public static let baseName = "base"

    /// What the statistics are gathered over.
    public enum Level: String, Sendable, Encodable, CaseIterable {
        case tensor, layer, model
    }

    /// Reads all models three times: twice to find the largest entries, once to measure.
    ///
    /// - Parameters:
    ///   - topShare: the share of a task vector's entries over the whole model that counts as its largest, more than 0 and up
    ///     to 1. Entries that equal the smallest of them count too; entries that did not move never do.
    ///   - largestCount: how many tensors `largest` names.
    /// - Throws: `AnalysisError` `analysis.bad_option`, what the readers throw.
    public init(
        _ set: TaskVectorSet, level: Level = .tensor, topShare: Double = 0.01, largestCount: Int = 5,
        budget: ComputeBudget = ComputeBudget()
    ) throws {
        guard topShare > 0, topShare <= 1 else {
            throw AnalysisError(.badOption, "the share of largest entries must lie between 0 and 1, not \(topShare)")
        }
        let keys = try Self.topKeys(set, share: topShare, threads: budget.threads)
        let parts = try set.mapChunks(threads: budget.threads) { tensor, range in
            TaskVectorSums(tensor, range, topKeys: keys)
        }
        var sums = Array(repeating: TaskVectorSums(expertCount: set.names.count), count: set.tensors.count)
        for part in parts { sums[part.tensor].add(part.result) }

        var total = TaskVectorSums(expertCount: set.names.count)
        for part in sums { total.add(part) }
        let isRanked = set.names.indices.map { !total.isSpoilt($0) && keys[$0] < Float.infinity.magnitudeKey }
        experts = set.names
        model = TaskVectorGroup(name: "model", tensorCount: sums.count, total, isRanked: isRanked)
        groups = Self.groups(set.tensors, sums, isRanked: isRanked, level: level)
        largest = set.names.indices.map { expert in
            let norms = zip(set.tensors, sums).map { tensor, sums in
                TensorNorm(tensor: tensor.name, norm: sums.isSpoilt(expert) ? .nan : sums.squares[expert].norm)
            }
            // Stable, so that equal norms stay in the order of the base. NaN, which has no order, counts as less than 0.
            let keys = norms.map { $0.norm.isNaN ? 1 : -$0.norm }
            let order = norms.indices.sorted { (keys[$0], $0) < (keys[$1], $1) }
            return order.prefix(max(0, largestCount)).map { norms[$0] }
        }
        let models = [Self.baseName] + set.names
        notFinite = zip(set.tensors, sums).flatMap { tensor, sums in
            models.indices.filter { !sums.nonFinite[$0].isZero }.map { model in
                NonFiniteTensor(
                    model: models[model], file: set.file(of: tensor.name, model: model), tensor: tensor.name,
                    count: sums.nonFinite[model])
            }
        }
        beyondF32 = zip(set.tensors, sums).flatMap { tensor, sums in
            set.names.indices.filter { sums.beyondF32[$0] > 0 }.map {
                Overflow(expert: set.names[$0], tensor: tensor.name, count: sums.beyondF32[$0])
            }
        }
    }

    private static func groups(
        _ tensors: [TensorDescriptor], _ sums: [TaskVectorSums], isRanked: [Bool], level: Level
    ) -> [TaskVectorGroup] {
        switch level {
        case .model: return []
        case .tensor:
            return zip(tensors, sums).map {
                TaskVectorGroup(name: $0.name.description, tensorCount: 1, $1, isRanked: isRanked)
            }
        case .layer:
            var order: [String] = []
            var members: [String: (count: Int, sums: TaskVectorSums)] = [:]
            for (tensor, part) in zip(tensors, sums) {
                let layer = tensor.name.layer
                if members[layer] == nil { order.append(layer) }
                members[layer, default: (0, TaskVectorSums(expertCount: part.squares.count))].count += 1
                members[layer]?.sums.add(part)
            }
            return order.compactMap { layer in
                members[layer].map {
                    TaskVectorGroup(name: layer, tensorCount: $0.count, $0.sums, isRanked: isRanked)
                }
            }
        }
    }

    /// For every expert the magnitude, as `magnitudeKey`, that its largest entries reach.
    private static func topKeys(_ set: TaskVectorSet, share: Double, threads: Int) throws -> [UInt32] {
        guard set.parameterCount > 0 else { return set.names.map { _ in UInt32.max } }
        let rank = max(1, Int(share * Double(set.parameterCount)))
        var selections = set.names.map { _ in MagnitudeSelection(rank: rank) }
        for _ in 0..<2 {
            for expert in set.names.indices {
                let counter = selections[expert].counter
                let counts = MagnitudeCounts()
                _ = try set.mapChunks(threads: threads) { tensor, range in counts.add(tensor, range, expert, counter) }
                counts.finish(&selections[expert])
            }
        }
        return selections.map { max(1, $0.result?.key ?? 1) }
    }
}

extension TensorName {
    /// The name up to and including its first number, such as `blocks.3`; without a number, all but the last component.
    public var layer: String {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        let end =
            parts.firstIndex { !$0.isEmpty && $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }.map { $0 + 1 }
            ?? max(1, parts.count - 1)
        return TensorName(parts[..<end].joined(separator: ".")).description
    }
}
