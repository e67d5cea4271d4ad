import TensorCore

extension LoRAAdapter {
    /// Makes sure that a tensor is one to compute with.
    ///
    /// - Throws: `FormatError` `unsupported_dtype`.
    func requireNumbers(_ place: Int) throws(FormatError) {
        let tensor = reader.descriptors[place]
        guard tensor.layout.isPlain, tensor.dtype.isComputable else {
            throw FormatError(
                .unsupportedDtype,
                "tensor \"\(tensor.name)\" of dtype \(tensor.dtype.rawValue) is no factor to compute with",
                file: reader.path, tensor: tensor.name)
        }
    }

    /// What the factors of a module multiply to: `[outputs, rank]` with `[rank, inputs]`, or `[outputs, rank, 1, ...]` with kernels.
    ///
    /// - Returns: `kernel` `[inputs]`, or the dimensions of an output's kernels.
    /// - Throws: `FormatError`: `bad_shape` for factors that are no matrices, `size_mismatch` for those that make no product.
    func product(of module: Module) throws(FormatError) -> (rank: Int, outputs: Int, kernel: [Int]) {
        let (a, b) = (reader.descriptors[module.a], reader.descriptors[module.b])
        for factor in [a, b] where factor.shape.rank < 2 || factor.elementCount == 0 {
            throw FormatError(
                .badShape,
                "tensor \"\(factor.name)\" has the shape \(factor.shape), and a factor has two dimensions or more",
                file: reader.path, tensor: factor.name)
        }
        let rank = a.shape.dims[0]
        guard b.shape.dims[1] == rank, b.shape.dims.dropFirst(2).allSatisfy({ $0 == 1 }), b.shape.rank == a.shape.rank
        else {
            throw FormatError(
                .sizeMismatch,
                "tensor \"\(b.name)\" of shape \(b.shape) does not fit \"\(a.name)\" of shape \(a.shape)",
                file: reader.path, tensor: b.name)
        }
        return (rank, b.shape.dims[0], Array(a.shape.dims.dropFirst()))
    }

    /// What the product of a module's factors is multiplied by.
    ///
    /// - Parameters:
    ///   - name: the module, or the tensor in it, that the configuration speaks of.
    ///   - rank: that of the factors.
    /// - Throws: `FormatError` `config_mismatch` when the configuration says another rank, which would scale wrongly.
    func scale(of module: Module, named name: String, rank: Int) throws(FormatError) -> Double {
        let scaling = module.scaling ?? config.scaling(of: name)
        guard scaling.rank == rank else {
            let a = reader.descriptors[module.a]
            throw FormatError(
                .configMismatch,
                "tensor \"\(a.name)\" of shape \(a.shape) has the rank \(rank), and the configuration says \(scaling.rank)",
                file: reader.path, tensor: a.name)
        }
        return scaling.factor
    }
}
