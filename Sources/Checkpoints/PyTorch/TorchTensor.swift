import TensorCore

/// A run of numbers in a PyTorch checkpoint: what a persistent identifier says of it.
struct TorchStorage: Hashable {
    /// The type of the elements; nil when each tensor says it, and the storage counts bytes.
    let dtype: DType?
    /// Whether the elements are those of a quantised tensor.
    let isQuantised: Bool
    /// The name of the record in the archive, or in the list of a legacy file.
    let key: String
    /// The number of elements of the record, or of bytes if it has no type.
    let count: Int
    /// The first element of a part of a record, in legacy files, and how many elements it has.
    let part: Part?
    /// Where the pickle says all this.
    let byteOffset: Int

    struct Part: Hashable {
        let start, count: Int
    }
}

/// A view of a storage, as a pickle describes it; nothing about it has been checked.
struct TorchTensor {
    let storage: TorchStorage
    /// The type that the tensor says itself.
    let dtype: TypeClaim?
    /// All in elements.
    let offset: Int
    let shape, strides: [Int]
    /// Where the pickle says all this.
    let byteOffset: Int

    enum TypeClaim: Equatable {
        case known(DType), unsupported(String)
    }
}
