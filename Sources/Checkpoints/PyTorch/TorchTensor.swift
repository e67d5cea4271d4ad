import TensorCore

/// A run of numbers in a PyTorch checkpoint: what a persistent identifier says of it.
struct TorchStorage: Hashable {
    /// The type of the elements; nil when each tensor says it, and the storage counts bytes.
    let dtype: DType?
    /// Whether the elements are those of a quantised tensor.
    let isQuantised: Bool
    /// The name of the record in the archive, or in the list of a legacy file.
    let key: Key
    /// The number of elements of the record, or of bytes if it has no type.
    let count: Int
    /// The first element of a part of a record, in legacy files, and how many elements it has.
    let part: Part?
    /// Where the pickle says all this.
    let byteOffset: Int

    /// PyTorch names a record by a number that it counts up, or by an address.
    typealias Key = UInt64

    struct Part: Hashable {
        let start, count: Int
    }

    /// The key that a text is: decimal digits without zeros before them; nil for any other text.
    static func key(_ text: some Collection<UInt8>) -> Key? {
        guard let first = text.first, text.count == 1 || text.count <= 20 && first != UInt8(ascii: "0") else {
            return nil
        }
        var key: Key = 0
        for digit in text {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
            let (tens, tooFar) = key.multipliedReportingOverflow(by: 10)
            let (sum, overflow) = tens.addingReportingOverflow(Key(digit - UInt8(ascii: "0")))
            if tooFar || overflow { return nil }
            key = sum
        }
        return key
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
    let bits: Bits
    /// Where the pickle says all this.
    let byteOffset: Int

    /// What PyTorch does to the numbers of a view only when they are used.
    struct Bits: OptionSet {
        let rawValue: UInt8

        static let conjugated = Bits(rawValue: 1)
        static let negated = Bits(rawValue: 2)
    }

    enum TypeClaim: Equatable {
        case known(DType), unsupported(String)
    }
}
