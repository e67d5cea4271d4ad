import SystemPackage
import TensorCore

/// What is asked of the members of a .npz file.
extension ZipEntry {
    static let arraySuffix = Array(".npy".utf8)

    var isNamedAsArray: Bool { name.utf8.suffix(Self.arraySuffix.count).elementsEqual(Self.arraySuffix) }

    /// The ranges of the file that are summed one by one: a deflated member can only be unpacked from its start.
    var pieces: [Range<Int>] {
        guard method == .stored else { return [data] }
        let starts = stride(from: data.lowerBound, to: data.upperBound, by: 8 << 20)
        return starts.map { $0..<min(data.upperBound - $0, 8 << 20) + $0 }
    }

    /// A line about a member that unpacks to far more than it takes: zeros do so honestly, attacks too.
    var expansionWarning: Warning? {
        guard byteCount > 1 << 20, byteCount / 1000 > data.count else { return nil }
        return Warning(
            FormatWarning.expansion,
            "member \(label) unpacks \(data.count) bytes to \(byteCount), over a thousand times as many")
    }

    func unsupportedMethod(named tensor: TensorName, in file: MappedFile) -> FormatError {
        FormatError(
            .unsupportedCompression,
            "member \(label) is compressed by method \(methodNumber); only stored (0) and deflated (8) members are read",
            file: file.path, tensor: tensor, byteOffset: localHeaderOffset,
            hint: "write it again with numpy.savez or numpy.savez_compressed")
    }

    /// Compares size and checksum with what the archive says of them.
    ///
    /// - Parameter tensor: what the member is called in errors; nil for one that is no tensor.
    /// - Throws: `FormatError` with `bad_crc`, `bad_deflate`, `size_mismatch` or `unsupported_compression`.
    func checkContents(named tensor: TensorName?, in file: MappedFile) throws {
        switch method {
        case .stored:
            try check(CRC32.of(UnsafeRawBufferPointer(rebasing: file.bytes[data])), named: tensor, in: file)
        case .deflated: try inflate(named: tensor, in: file) { _ in }
        case nil: throw unsupportedMethod(named: tensor ?? TensorName(name), in: file)
        }
    }

    /// Calls `body` with the bytes of a deflated member, block by block, and checks size and sum at the end.
    func inflate(named tensor: TensorName?, in file: MappedFile, _ body: (UnsafeRawBufferPointer) -> Void) throws {
        let stream = try EntryInflate(self, in: file)
        var sum = CRC32()
        while let block = try stream.next() {
            sum.update(block)
            body(block)
        }
        try check(sum.value, named: tensor, in: file)
    }

    func check(_ sum: UInt32, named tensor: TensorName?, in file: MappedFile) throws(FormatError) {
        guard sum != crc32 else { return }
        func hex(_ value: UInt32) -> String {
            let digits = String(value, radix: 16)
            return String(repeating: "0", count: 8 - digits.count) + digits
        }
        throw FormatError(
            .badCRC,
            (tensor.map { "tensor \"\($0)\"" } ?? "member \(label)")
                + " is damaged: its bytes have the CRC-32 \(hex(sum)) and the archive says \(hex(crc32))",
            file: file.path, tensor: tensor, byteOffset: data.lowerBound, hint: "fetch the file again")
    }
}
