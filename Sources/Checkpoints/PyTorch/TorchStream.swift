import SystemPackage
import TensorCore

// Five pickles, then the numbers:
//
//     magic number, protocol 1001, system information, the object, the list of the storages' keys
//     for each key: count of elements[8, little-endian], elements
//
// The numbers are little-endian whatever machine wrote them. Source: PyTorch, torch/serialization.py, _legacy_save.

/// The stream of pickles that `torch.save` wrote before version 1.6.
enum TorchStream {
    /// The pickle of the number 0x1950a86a20f9469cfc6c, which is the only one of so many bytes.
    static let magic: [UInt8] = [
        0x80, 0x02, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E,
    ]
    private static let version = 1001

    /// Reads the pickles and walks over the storages to find where they are; none is read.
    ///
    /// - Parameter salvaging: whether a file that ends early is taken for what is left of it.
    /// - Throws: `FormatError` `truncated`, `unsupported_version`, `bad_storage`, and what `Unpickler.load`
    ///   throws.
    static func read(_ file: MappedFile, salvaging: Bool) throws(FormatError) -> TorchFile {
        guard file.byteCount > magic.count else {
            throw FormatError(
                .truncated, "the file ends inside of the pickles that it begins with", file: file.path,
                byteOffset: file.byteCount)
        }
        var position = magic.count
        var budget = PickleBudget()
        func next() throws(FormatError) -> (source: PickleSource, arena: PickleArena, root: PickleValue.ID) {
            let limit = min(file.byteCount, position + TorchArchive.maximumPickleByteCount)
            let source = PickleSource(
                bytes: UnsafeRawBufferPointer(rebasing: file.bytes[position..<limit]), file: file.path, start: position,
                isScript: false)
            let (arena, root, end) = try Unpickler.load(source, budget: &budget)
            position += end
            return (source, arena, root)
        }
        let version = try next()
        guard case .int(Self.version) = version.arena[version.root] else {
            throw version.source.fault(
                .unsupportedVersion, "the stream is not of version \(Self.version), the only one there is", at: 0)
        }
        _ = try next()
        let object = try next()
        let list = try next()
        guard case .list(let items) = list.arena[list.root] else {
            throw list.source.fault(.badStorage, "the list of storages is no list", at: 0)
        }
        let keys = try items.map { item throws(FormatError) -> TorchStorage.Key in
            guard case .string(let text) = list.arena[item], let key = TorchStorage.key(list.source.bytes[text]) else {
                throw list.source.fault(.badStorage, "the list of storages holds something that is no key", at: 0)
            }
            return key
        }
        let widths = Self.elementWidths(in: object.arena)
        var walk = Walk(file: file, position: position, salvaging: salvaging)
        for key in keys { try walk.step(over: key, width: widths[key]) }
        return TorchFile(
            arena: object.arena, root: object.root, source: object.source, records: walk.records,
            warnings: walk.leftover)
    }

    /// The bytes of an element of each storage that the object speaks of.
    private static func elementWidths(in arena: PickleArena) -> [TorchStorage.Key: Int] {
        var widths: [TorchStorage.Key: Int] = [:]
        for case .storage(let storage) in arena.values {
            widths[storage.key] = storage.dtype.map(TorchDType.width) ?? 1
        }
        return widths
    }
}

/// Goes from record to record.
private struct Walk {
    let file: MappedFile
    var position: Int
    let salvaging: Bool
    private(set) var records: [TorchStorage.Key: TorchRecord] = [:]

    init(file: MappedFile, position: Int, salvaging: Bool) {
        self.file = file
        self.position = position
        self.salvaging = salvaging
    }

    mutating func step(over key: TorchStorage.Key, width: Int?) throws(FormatError) {
        let label = "storage \(key)"
        func fault(_ category: FormatCategory, _ message: String) -> FormatError {
            FormatError(
                category, "\(label) \(message)", file: file.path, byteOffset: position,
                hint: category == .truncated ? "the file is cut short; fetch it again" : nil)
        }
        guard let width else {
            throw fault(.badStorage, "is in the list of storages, and no tensor has it")
        }
        guard records[key] == nil else { throw fault(.badStorage, "is twice in the list of storages") }
        guard file.byteCount - position >= 8 else {
            guard salvaging else { throw fault(.truncated, "begins at byte \(position), where the file ends") }
            records[key] = TorchRecord(data: file.byteCount..<file.byteCount, count: 0, isCut: true)
            position = file.byteCount
            return
        }
        let claimed = Int64(
            littleEndian: file.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: position, as: Int64.self) })
        guard claimed >= 0 else { throw fault(.badStorage, "has \(claimed) elements") }
        let (byteCount, overflow) = Int(claimed).multipliedReportingOverflow(by: width)
        if overflow { throw fault(.overflow, "has \(claimed) elements of \(width) bytes") }
        position += 8
        let left = file.byteCount - position
        guard byteCount <= left || salvaging else {
            throw fault(.truncated, "has \(byteCount) bytes, but the file ends \(left) bytes on")
        }
        let end = position + min(byteCount, left)
        records[key] = TorchRecord(data: position..<end, count: Int(claimed), isCut: byteCount > left)
        position = end
    }

    /// What is behind the last record.
    var leftover: [Warning] {
        guard position < file.byteCount else { return [] }
        return [
            Warning(
                FormatWarning.passedOver,
                "\(file.byteCount - position) bytes behind the last storage, from byte \(position) on, are not read")
        ]
    }
}
