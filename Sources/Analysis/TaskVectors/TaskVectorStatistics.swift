import Kernels
import TensorCore

/// How far experts moved from their base, and how much their movements agree.
public struct TaskVectorStatistics: Sendable, Hashable {
    public let experts: [String]
    /// Over all tensors.
    public let model: TaskVectorGroup
    /// By tensor, by layer or by kind of module; empty when only the model was asked for.
    public let groups: [TaskVectorGroup]
    /// In the order of the base, numbered ones in that of their numbers.
    public let layers: [TaskVectorGroup]
    /// Those that there are, in the order of `ModuleKind`.
    public let kinds: [TaskVectorGroup]
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
        case tensor, layer, kind, model

        /// What the group is called that a tensor belongs to.
        public func group(of name: TensorName) -> String {
            switch self {
            case .tensor: name.description
            case .layer: name.layer
            case .kind: ModuleKind(name).rawValue
            case .model: rawValue
            }
        }
    }

    /// Reads all models once, and a part in a hundred before; once or twice more where that sample misled about the largest entries.
    ///
    /// - Parameters:
    ///   - topShare: the share of a task vector's entries over the whole model that counts as its largest, more than 0 and up
    ///     to 1. Entries that equal the smallest of them count too; entries that did not move never do.
    ///   - largestCount: how many tensors `largest` names.
    ///   - reading: told before the models are read, once more, how many bytes that is.
    ///   - progress: told, from any thread, of bytes that were read.
    /// - Throws: `AnalysisError` `analysis.bad_option`, what the readers throw.
    public init(
        _ set: TaskVectorSet, level: Level = .tensor, topShare: Double = 0.01, largestCount: Int = 5,
        budget: ComputeBudget = ComputeBudget(), reading: (_ byteCount: Int) -> Void = { _ in },
        progress: @Sendable (_ byteCount: Int) -> Void = { _ in }
    ) throws {
        guard topShare > 0, topShare <= 1 else {
            throw AnalysisError(.badOption, "the share of largest entries must lie between 0 and 1, not \(topShare)")
        }
        var search = try TopSearch(set, share: topShare, threads: budget.threads)
        var sums: [TaskVectorSums] = []
        var limits: [UInt32]?
        while limits == nil {
            let pass = search.pass()
            reading(set.byteCount)
            let parts = try set.mapChunks(threads: budget.threads) { tensor, range in
                defer { progress(tensor.byteCount(range)) }
                return TaskVectorSums(tensor, range, search: pass)
            }
            sums = Array(repeating: TaskVectorSums(expertCount: set.names.count), count: set.tensors.count)
            for part in parts { sums[part.tensor].add(part.result) }
            limits = search.finish(pass, sums.map(\.candidates))
            if let limits {
                sums = parallelMap(count: sums.count, threads: budget.threads) { [sums] tensor in
                    sums[tensor].settled(limits, pass.brackets)
                }
            }
        }
        let total = sums.reduce(into: TaskVectorSums(expertCount: set.names.count)) { $0.add($1) }
        let isRanked = set.names.indices.map { expert in
            !total.isSpoilt(expert) && (limits?[expert] ?? .max) < Float.infinity.magnitudeKey
        }
        experts = set.names
        model = TaskVectorGroup(name: Level.model.rawValue, tensorCount: sums.count, total, isRanked: isRanked)
        func groups(by level: Level) -> [TaskVectorGroup] {
            Self.groups(set.tensors, sums, isRanked: isRanked, by: level.group)
        }
        layers = groups(by: .layer).inOrderOfNumbers { TensorName($0.name) }
        let found = groups(by: .kind)
        kinds = ModuleKind.allCases.flatMap { kind in found.filter { $0.name == kind.rawValue } }
        self.groups =
            switch level {
            case .tensor: groups(by: .tensor)
            case .layer: layers
            case .kind: kinds
            case .model: []
            }
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

    /// Gathers tensors under names, in the order in which they first appear.
    private static func groups(
        _ tensors: [TensorDescriptor], _ sums: [TaskVectorSums], isRanked: [Bool], by name: (TensorName) -> String
    ) -> [TaskVectorGroup] {
        var places: [String: Int] = [:]
        var members: [(name: String, count: Int, sums: TaskVectorSums)] = []
        for (tensor, part) in zip(tensors, sums) {
            let name = name(tensor.name)
            let place = places[name] ?? members.count
            if place == members.count {
                places[name] = place
                members.append((name, 0, TaskVectorSums(expertCount: isRanked.count)))
            }
            members[place].count += 1
            members[place].sums.add(part)
        }
        return members.map { TaskVectorGroup(name: $0.name, tensorCount: $0.count, $0.sums, isRanked: isRanked) }
    }
}

extension TensorName {
    /// The name up to and including its first number, such as `blocks.3`; without a number, all but the last component.
    public var layer: String {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        let end =
            parts.firstIndex(where: \.isNumber).map { $0 + 1 } ?? max(1, parts.count - 1)
        return TensorName(parts[..<end].joined(separator: ".")).description
    }
}
