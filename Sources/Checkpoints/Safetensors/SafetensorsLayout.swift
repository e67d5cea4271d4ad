import SystemPackage
import TensorCore

/// The header and the positions that the safetensors library gives to a list of tensors.
///
/// Tensors lie by falling dtype rank and then by name bytes, so that each is aligned to its element; the header is compact
/// JSON with `__metadata__` first, padded with spaces to a multiple of 8. Metadata keys are sorted, where the library
/// leaves them in random order, so that equal inputs make equal files.
struct SafetensorsLayout {
    /// The length field and the header.
    let head: [UInt8]
    /// Where each declared tensor begins in the file.
    let offsets: [Int]
    let fileByteCount: Int

    /// Lays tensors out one behind the other and makes the header.
    ///
    /// - Throws: `FormatError` `unsupported_dtype` for C128, `duplicate_key` for a name declared twice, `bad_name` for
    ///   `__metadata__`, `header_too_large`, `overflow`.
    init(
        _ descriptors: [TensorDescriptor], metadata: Metadata, file: FilePath
    ) throws(FormatError) {
        let order = try Self.order(of: descriptors, file: file)
        var offsets = [Int](repeating: 0, count: descriptors.count)
        var entries: [SafetensorsHeader.Entry] = []
        var position = 0
        for index in order {
            let (end, overflow) = position.addingReportingOverflow(descriptors[index].byteCount)
            guard !overflow else { throw Self.tooLarge(file) }
            entries.append(SafetensorsHeader.Entry(descriptor: descriptors[index], range: position..<end))
            offsets[index] = position
            position = end
        }
        let head = try SafetensorsHeader.bytes(entries, metadata: metadata, file: file)
        let (fileByteCount, overflow) = head.count.addingReportingOverflow(position)
        guard !overflow else { throw Self.tooLarge(file) }
        self.head = head
        self.offsets = offsets.map { $0 + head.count }
        self.fileByteCount = fileByteCount
    }

    /// The positions of the declared tensors in the order of the file.
    static func order(of descriptors: [TensorDescriptor], file: FilePath) throws(FormatError) -> [Int] {
        for descriptor in descriptors {
            if descriptor.dtype == .c128 {
                throw FormatError(
                    .unsupportedDtype, "safetensors cannot hold tensor \"\(descriptor.name)\" of dtype C128",
                    file: file, tensor: descriptor.name, hint: "exclude it, or write .npz")
            }
            if descriptor.name == "__metadata__" {
                throw FormatError(
                    .badName, "safetensors keeps the name \"__metadata__\" for itself", file: file,
                    tensor: descriptor.name, hint: "rename the tensor with --rename")
            }
        }
        let order = descriptors.indices.sorted { a, b in
            let (first, second) = (descriptors[a], descriptors[b])
            let (rank, otherRank) = (first.dtype.safetensorsRank, second.dtype.safetensorsRank)
            return rank == otherRank ? first.name < second.name : rank > otherRank
        }
        var names = Set<TensorName>(minimumCapacity: descriptors.count)
        for descriptor in descriptors where !names.insert(descriptor.name).inserted {
            throw FormatError(
                .duplicateKey, "two tensors are named \"\(descriptor.name)\"", file: file, tensor: descriptor.name)
        }
        return order
    }

    private static func tooLarge(_ file: FilePath) -> FormatError {
        FormatError(.overflow, "the tensors are larger than a file can be", file: file)
    }
}

extension DType {
    /// The place of the type in the library's list, which decides the order of tensors in a file.
    fileprivate var safetensorsRank: Int {
        switch self {
        case .bool: 0
        case .f4: 1
        case .f6E2M3: 2
        case .f6E3M2: 3
        case .u8: 4
        case .i8: 5
        case .f8E5M2: 6
        case .f8E4M3: 7
        case .f8E8M0: 8
        case .f8E4M3FNUZ: 9
        case .f8E5M2FNUZ: 10
        case .i16: 11
        case .u16: 12
        case .f16: 13
        case .bf16: 14
        case .i32: 15
        case .u32: 16
        case .f32: 17
        case .c64: 18
        case .f64: 19
        case .i64: 20
        case .u64: 21
        case .c128: 22
        }
    }
}
