import Checkpoints
import Kernels
import SystemPackage
import TensorCore

/// Checkpoints with statistics of the experts' activations or gradients, one for each expert.
///
/// Files that map, such as safetensors, cost no memory; tensors of others are held decoded until the merge is done.
struct ExpertStatistics: Sendable {
    private let stores: [TensorStore]

    static let parameter = ParameterSpec(
        "statistics", .path, default: .text(""), perExpert: true,
        help: "Checkpoint with what was measured on the expert's data.")

    /// - Throws: `merge.statistics` when a file is missing or cannot be read.
    init(_ arguments: MergeArguments) throws(MergeError) {
        var stores: [TensorStore] = []
        let paths = try arguments.texts("statistics")
        if paths.count > 1, let first = paths.first, !first.isEmpty, paths.allSatisfy({ $0 == first }) {
            throw MergeError(
                .statistics, "all \(paths.count) experts have the same statistics, \(first)",
                parameter: "statistics", hint: "set statistics= to one checkpoint for each expert")
        }
        for (expert, path) in paths.enumerated() {
            guard !path.isEmpty else {
                throw MergeError(
                    .statistics, "there are no statistics of expert \(expert + 1)",
                    parameter: "statistics", hint: "set statistics= to one checkpoint for each expert")
            }
            do {
                stores.append(try TensorStore(opening: FilePath(path)))
            } catch {
                throw Self.failure(error, expert: expert)
            }
        }
        self.stores = stores
    }

    private static func failure(_ error: any Error, expert: Int) -> MergeError {
        let fault = error as? any Diagnostic
        let file = fault?.file.map { " in \($0)" } ?? ""
        return MergeError(
            .statistics,
            "the statistics of expert \(expert + 1) cannot be read: \(fault?.message ?? "\(error)")\(file)",
            parameter: "statistics", hint: fault?.hint)
    }

    /// The tensor that every expert's statistics have under one of some names.
    ///
    /// - Parameter shape: what the tensor must be like.
    /// - Returns: nil when no expert has it.
    /// - Throws: `merge.statistics` when only some have it, or when one has another shape or no arithmetic.
    func tensors(_ names: [TensorName], shape: Shape, of tensor: TensorName) throws(MergeError) -> [StatisticsTensor]? {
        let found = stores.map { store in names.lazy.compactMap { store.index(of: $0) }.first }
        guard let present = found.firstIndex(where: { $0 != nil }) else { return nil }
        var tensors: [StatisticsTensor] = []
        for (expert, (store, index)) in zip(stores, found).enumerated() {
            guard let index else {
                throw MergeError(
                    .statistics,
                    "the statistics of expert \(present + 1) have tensor \"\(tensor)\", those of expert \(expert + 1) do not",
                    tensor: tensor)
            }
            let descriptor = store.descriptors[index]
            guard descriptor.shape == shape, descriptor.dtype.isComputable else {
                throw MergeError(
                    .statistics,
                    "tensor \"\(descriptor.name)\" in the statistics of expert \(expert + 1) is \(descriptor.dtype.rawValue) "
                        + "\(descriptor.shape), but floating-point numbers \(shape) are needed", tensor: tensor)
            }
            do {
                tensors.append(
                    StatisticsTensor(
                        bytes: try store.reader.bytes(of: index), dtype: descriptor.dtype,
                        elementCount: descriptor.elementCount))
            } catch {
                throw Self.failure(error, expert: expert)
            }
        }
        return tensors
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
