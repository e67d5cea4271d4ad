import Kernels
import TensorCore

/// What an adapter adds to the weight of one module, `s B A`, as far as it is known without a base.
package struct StoredChange: Sendable {
    /// The module as the model calls it.
    package let module: String
    /// The same with the wrappers that PEFT has put around it.
    package let path: String
    package let isEmbedding: Bool
    package let rank: Int
    package let outputs: Int
    /// The dimensions of an output's weights: `[inputs]`, or those of a convolution's kernels.
    package let kernel: [Int]
    package let scale: Double
    /// Whether the weight is stored as `[inputs, outputs]`, as those of embeddings are, and all linear layers of an adapter with
    /// `fan_in_fan_out`.
    package let isTransposed: Bool
    /// The weight as the base has it, in F32.
    package let weight: TensorDescriptor
    private let reader: any CheckpointReader
    private let a, b: Int

    package var inputs: Int { kernel.reduce(1, *) }

    /// The factors, without the scale.
    ///
    /// - Throws: what the reader throws; `IOError` when there is no memory.
    package func factors() throws -> FactoredMatrix {
        func matrix(_ place: Int, rows: Int, columns: Int) throws -> Matrix<Double> {
            let matrix = try Matrix<Double>(rows: rows, columns: columns)
            let tensor = reader.descriptors[place]
            try reader.withStoredBytes(tensor.layout.byteRange(of: 0..<tensor.elementCount), of: place) {
                widen($0, tensor.dtype, into: matrix.values)
            }
            return matrix
        }
        return FactoredMatrix(
            b: try matrix(b, rows: outputs, columns: rank), a: try matrix(a, rows: rank, columns: inputs))
    }

    /// Takes a module of an adapter.
    ///
    /// - Throws: `FormatError`: `unsupported_object` for what is more than a product of factors; `bad_shape`, `size_mismatch`,
    ///   `config_mismatch`, `unsupported_dtype` as folding does.
    fileprivate init(_ module: LoRAAdapter.Module, of adapter: LoRAAdapter) throws(FormatError) {
        let (a, b) = (adapter.reader.descriptors[module.a], adapter.reader.descriptors[module.b])
        let file = adapter.reader.path
        if let part = module.magnitude ?? module.bias {
            let name = adapter.reader.descriptors[part].name
            throw FormatError(
                .unsupportedObject,
                "tensor \"\(name)\" makes the change more than a product of factors, so that adapters cannot be merged by these",
                file: file, tensor: name,
                hint: "merge the models, BASE+ADAPTER each, and make an adapter of the result with `lora extract`")
        }
        for place in [module.a, module.b] { try adapter.requireNumbers(place) }
        (rank, outputs, kernel) = try adapter.product(of: module)
        scale = try adapter.scale(of: module, named: module.name, rank: rank)
        self.module = module.name
        path = module.path
        isEmbedding = module.isEmbedding
        isTransposed = module.isEmbedding || adapter.config.isTransposed && a.shape.rank == 2
        do {
            weight = try TensorDescriptor(
                name: TensorName("\(module.name).weight"), dtype: .f32,
                shape: Shape(isTransposed ? Array(kernel + [outputs]) : [outputs] + kernel))
        } catch {
            throw FormatError(
                .overflow, "the weight of \"\(a.name)\" and \"\(b.name)\" is too large", file: file, tensor: a.name)
        }
        reader = adapter.reader
        (self.a, self.b) = (module.a, module.b)
    }
}

extension LoRAAdapter {
    /// What the adapter adds to weights, in the order of the file.
    ///
    /// - Throws: `FormatError` for an adapter that does more, or that has factors that make no product.
    package func changes() throws(FormatError) -> [StoredChange] {
        guard config.targetParameters.isEmpty else {
            throw FormatError(
                .unsupportedObject,
                "`target_parameters` is set: which factors belong to which stack of experts the base alone tells",
                file: config.file,
                hint: "merge the models, BASE+ADAPTER each, and make an adapter of the result with `lora extract`")
        }
        var changes: [StoredChange] = []
        for module in modules { changes.append(try StoredChange(module, of: self)) }
        return changes
    }
}
