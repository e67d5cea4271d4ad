/// The matrices that a tensor holds, one after the other: itself, or those of a stack `[E, m, n]` of experts' weights.
public struct TensorMatrices: Sendable, Hashable {
    public let count: Int
    public let rows: Int
    public let columns: Int
}

extension TensorDescriptor {
    /// Nil for a tensor that is neither a matrix nor a stack, or has no elements.
    public var matrices: TensorMatrices? {
        guard elementCount > 0, shape.isMatrix || isStackOfExperts else { return nil }
        let dims = shape.dims
        return TensorMatrices(
            count: shape.isMatrix ? 1 : dims[0], rows: dims[dims.count - 2], columns: dims[dims.count - 1])
    }

    /// Whether the tensor holds the weights of a mixture of experts, `[E, m, n]`. Kernels of convolutions over one dimension have
    /// as many, and no such name; embeddings of positions `[1, T, C]` have neither.
    public var isStackOfExperts: Bool {
        shape.rank == 3 && shape.dims.suffix(2).allSatisfy { $0 > 1 }
            && name.text.lowercased().split(separator: ".").contains {
                // The last are GGUF's, such as `ffn_gate_exps`.
                $0.contains("expert") || $0.contains("moe") || $0.hasSuffix("_exps")
            }
    }
}
