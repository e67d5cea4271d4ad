import Kernels
import SystemPackage
import TensorCore

extension CheckpointView {
    /// Shows a base with adapters folded into it, tensor by tensor as they are read.
    ///
    /// Tensors have the names, types and order of the base; what only an adapter has comes last.
    ///
    /// - Parameter base: whose tensors are numbers.
    /// - Throws: `FormatError` when an adapter does not fit the base; see `AdapterFold`.
    init(folding adapters: [LoRAAdapter], into base: any CheckpointReader) throws(FormatError) {
        var folds: [AdapterFold] = []
        for adapter in adapters { folds.append(try AdapterFold(of: adapter, into: base)) }
        var tensors: [ViewedTensor] = []
        for (place, descriptor) in base.descriptors.enumerated() {
            // Of several adapters the last one that brings a whole tensor counts.
            let last = folds.lastIndex { $0.replacements[place] != nil }
            let updates = folds.flatMap { $0.updates[place] ?? [] }
            guard last != nil || !updates.isEmpty else {
                tensors.append(ViewedTensor(base, place, named: descriptor.name))
                continue
            }
            let (source, index) =
                last.map { (adapters[$0].reader, folds[$0].replacements[place] ?? 0) } ?? (base, place)
            tensors.append(try ViewedTensor(source, index, like: descriptor, updates: updates))
        }
        for (adapter, fold) in zip(adapters, folds) {
            for (name, place) in fold.additions where !tensors.contains(where: { $0.descriptor.name == name }) {
                tensors.append(ViewedTensor(adapter.reader, place, named: name))
            }
        }
        self.init(base, tensors, adapters: adapters, notes: folds.flatMap(\.warnings))
    }
}

extension ViewedTensor {
    /// Folds changes into a tensor.
    ///
    /// - Parameter descriptor: the base's tensor, whose name and type the result has.
    /// - Throws: `FormatError` `size_mismatch` when the changes are not of the tensor's shape; `unsupported_dtype` for a tensor that
    ///   does not compute; `overflow`.
    fileprivate init(
        _ source: any CheckpointReader, _ place: Int, like descriptor: TensorDescriptor, updates: [LowRankUpdate]
    ) throws(FormatError) {
        let stored = source.descriptors[place]
        if updates.isEmpty, stored.layout == descriptor.layout {
            self.init(source, place, named: descriptor.name)
            return
        }
        guard canCast(from: stored.dtype, to: descriptor.dtype), stored.layout.isPlain else {
            throw FormatError(
                .unsupportedDtype,
                "tensor \"\(stored.name)\" of dtype \(stored.dtype.rawValue) cannot become \(descriptor.layout.name)",
                file: source.path, tensor: stored.name)
        }
        let target: TensorDescriptor
        do {
            target = try TensorDescriptor(name: descriptor.name, layout: descriptor.layout, shape: stored.shape)
        } catch {
            throw FormatError(
                .overflow, "tensor \"\(stored.name)\" of shape \(stored.shape) is too large", file: source.path,
                tensor: stored.name)
        }
        let matrices = updates.first?.matrices ?? 1
        let rows = updates.first.map { $0.isTransposed ? $0.inputs : $0.outputs } ?? 1
        let columns = updates.first.map { $0.isTransposed ? $0.outputs : $0.inputs } ?? stored.elementCount
        for update in updates {
            let sides = update.isTransposed ? (update.inputs, update.outputs) : (update.outputs, update.inputs)
            // The shape may be that of another adapter's tensor.
            guard update.matrices == matrices, sides == (rows, columns) else {
                throw Self.mismatch(stored, update, source)
            }
        }
        guard matrices * rows * columns == stored.elementCount else {
            throw Self.mismatch(stored, updates[0], source)
        }
        self.init(
            source, place,
            folded: FoldedWeight(
                source, place, as: target, matrices: matrices, rows: rows, columns: columns, updates: updates))
    }

    private static func mismatch(
        _ stored: TensorDescriptor, _ update: LowRankUpdate, _ source: any CheckpointReader
    ) -> FormatError {
        let factor = update.reader.descriptors[update.b]
        return FormatError(
            .sizeMismatch,
            "tensor \"\(factor.name)\" of shape \(factor.shape) does not fit \"\(stored.name)\" of shape \(stored.shape) of "
                + source.path.string, file: update.reader.path, tensor: factor.name)
    }
}
