import Checkpoints
import Kernels
import SystemPackage
import TensorCore

/// Statistics of the experts' activations or gradients, from one checkpoint for each expert, by the tensors of the result.
///
/// Files that map, such as safetensors, cost no memory; tensors of others are held decoded until the merge is done.
struct ExpertStatistics: Sendable {
    /// For every tensor that has statistics those of all experts.
    private var found: [TensorName: [StatisticsTensor]] = [:]
    /// That some tensors have no statistics.
    private(set) var warnings: [Warning] = []

    static let parameter = ExpertParameterKey(
        "statistics", default: ParameterPath(), help: "Checkpoint with what was measured on the expert's data.")

    /// Looks for the statistics of tensors under the names that these have in each expert's model.
    ///
    /// - Parameters:
    ///   - wanted: tensors of the result, and what their statistics are shaped like.
    ///   - tensors: all that are merged.
    ///   - suffix: what the names in the statistics may lack at their end.
    ///   - fate: what becomes of tensors without statistics.
    /// - Throws: `merge.statistics` when a file is missing or cannot be read, when no tensor has statistics, when only some experts
    ///   have those of a wanted one, and when one has another shape or no arithmetic.
    init(
        of wanted: [(tensor: TensorName, shape: Shape)], among tensors: [TensorDescriptor],
        orWithout suffix: String = "", fate: String = "averaged without", _ arguments: MergeArguments
    ) throws(MergeError) {
        let stores = try Self.open(arguments[Self.parameter].map(\.text), for: wanted.map(\.tensor), arguments)
        for (tensor, shape) in wanted {
            let places = Self.places(of: tensor, orWithout: suffix, in: stores, arguments)
            guard let present = places.firstIndex(where: { $0 != nil }) else { continue }
            var tensors: [StatisticsTensor] = []
            for (expert, (store, place)) in zip(stores, places).enumerated() {
                guard let place else {
                    throw MergeError(
                        .statistics,
                        "the statistics of expert \(present + 1) have tensor \"\(tensor)\", those of expert \(expert + 1) do not",
                        tensor: tensor, parameter: "statistics",
                        hint: "measure it for all experts or for none: the same --only and --exclude of untangle stats")
                }
                tensors.append(try Self.tensor(at: place, in: store, shape: shape, of: tensor, expert: expert))
            }
            found[tensor] = tensors
        }
        let lacking = wanted.map(\.tensor).filter { found[$0] == nil }
        guard let first = lacking.first else { return }
        // Those of tensors that are not wanted show that the names are right.
        let isKnown = tensors.contains { tensor in
            Self.places(of: tensor.name, orWithout: suffix, in: stores, arguments).contains { $0 != nil }
        }
        guard isKnown else {
            let theirs = stores[0].descriptors.first.map { "have \"\($0.name)\"" } ?? "are empty"
            throw MergeError(
                .statistics,
                "no tensor has statistics: expert 1 has \"\(arguments.inputNames(of: first)[0])\", and its statistics \(theirs)",
                parameter: "statistics",
                hint: "give them the names of the expert's tensors with untangle convert --rename")
        }
        warnings.append(
            Warning(
                MergeWarning.noStatistics,
                "\(lacking.count) of \(wanted.count) tensors have no statistics, such as \"\(first)\", and are \(fate)")
        )
    }

    /// What inner products of a layer's inputs are shaped like: `[in, in]`, or as many of them as a stack has matrices.
    static func gramShape(of tensor: TensorDescriptor) -> Shape {
        let columns = tensor.shape.dims[tensor.shape.rank - 1]
        return Shape(tensor.shape.dims.dropLast(2) + [columns, columns])
    }

    /// Nil for a tensor without statistics.
    subscript(tensor: TensorName) -> [StatisticsTensor]? { found[tensor] }

    private static func open(
        _ paths: [String], for tensors: [TensorName], _ arguments: MergeArguments
    ) throws(MergeError) -> [TensorStore] {
        // Different layers of one model have the statistics of that model.
        let isOneModel = tensors.contains { Set(arguments.inputNames(of: $0)).count > 1 }
        if paths.count > 1, let first = paths.first, !first.isEmpty, !isOneModel, paths.allSatisfy({ $0 == first }) {
            throw MergeError(
                .statistics, "all \(paths.count) experts have the same statistics, \(first)",
                parameter: "statistics", hint: "set statistics= to one checkpoint for each expert")
        }
        var stores: [TensorStore] = []
        for (expert, path) in paths.enumerated() {
            guard !path.isEmpty else {
                throw MergeError(
                    .statistics, "there are no statistics of expert \(expert + 1)",
                    parameter: "statistics", hint: "set statistics= to one checkpoint for each expert")
            }
            do {
                stores.append(
                    try TensorStore(opening: FilePath(path), options: ReadOptions(threads: arguments.threads)))
            } catch {
                throw failure(error, expert: expert)
            }
        }
        return stores
    }

    /// For every expert where the statistics of a tensor are.
    private static func places(
        of tensor: TensorName, orWithout suffix: String, in stores: [TensorStore], _ arguments: MergeArguments
    ) -> [Int?] {
        zip(stores, arguments.inputNames(of: tensor)).map { store, name in
            store.index(of: name)
                ?? (name.text.hasSuffix(suffix)
                    ? store.index(of: TensorName(String(name.text.dropLast(suffix.count)))) : nil)
        }
    }

    private static func tensor(
        at place: Int, in store: TensorStore, shape: Shape, of tensor: TensorName, expert: Int
    ) throws(MergeError) -> StatisticsTensor {
        let descriptor = store.descriptors[place]
        guard descriptor.shape == shape, descriptor.dtype.isComputable else {
            throw MergeError(
                .statistics,
                "tensor \"\(descriptor.name)\" in the statistics of expert \(expert + 1) is \(descriptor.dtype.rawValue) "
                    + "\(descriptor.shape), but floating-point numbers \(shape) are needed", tensor: tensor)
        }
        let bytes: TensorBytes
        do { bytes = try store.reader.bytes(of: place) } catch { throw failure(error, expert: expert) }
        // One number that is none would outweigh all others, or make the weight of the expert nothing.
        let count = bytes.withUnsafeBytes { countNonFinite($0, descriptor.dtype) }
        guard count.isZero else {
            throw MergeError(
                .statistics,
                "tensor \"\(descriptor.name)\" in the statistics of expert \(expert + 1), \(store.path), holds \(count.text)",
                tensor: tensor, parameter: "statistics",
                hint: "gather the statistics again, without inputs that overflow")
        }
        return StatisticsTensor(bytes: bytes, dtype: descriptor.dtype, elementCount: descriptor.elementCount)
    }

    private static func failure(_ error: any Error, expert: Int) -> MergeError {
        let fault = error as? any Diagnostic
        let file = fault?.file.map { " in \($0)" } ?? ""
        return MergeError(
            .statistics,
            "the statistics of expert \(expert + 1) cannot be read: \(fault?.message ?? "\(error)")\(file)",
            parameter: "statistics", hint: fault?.hint)
    }
}

/// One tensor of an expert's statistics.
struct StatisticsTensor: Sendable {
    private let bytes: TensorBytes
    private let dtype: DType
    let elementCount: Int

    init(bytes: TensorBytes, dtype: DType, elementCount: Int) {
        self.bytes = bytes
        self.dtype = dtype
        self.elementCount = elementCount
    }

    func read<T: ElementwiseScalar>(from index: Int, count: Int, into destination: UnsafeMutablePointer<T>) {
        bytes.withUnsafeBytes {
            MergeSource(bytes: $0, dtype: dtype).read(from: index, count: count, into: destination)
        }
    }
}
