import SystemPackage
import TensorCore

/// A PyTorch checkpoint as a file holds it: a pickle, and the records with the numbers that it speaks of.
struct TorchFile {
    let arena: PickleArena
    let root: PickleValue.ID
    let source: PickleSource
    /// The records by their keys.
    let records: [TorchStorage.Key: TorchRecord]
    /// All members of an archive that has checksums.
    let members: [ZipEntry]
    let isBigEndian: Bool
    let warnings: [Warning]
    /// What is wrong with a file that is salvaged, besides its tensors.
    let damage: [Damage]
    /// Keeps the pickle while it is used, if it was decompressed.
    let pickleOwner: AlignedBuffer?

    /// Tells the two kinds of file apart and reads all but the numbers.
    ///
    /// - Throws: `FormatError` with the first rule that is broken, `IOError` when there is no memory.
    init(_ file: MappedFile, options: ReadOptions) throws {
        let bytes = file.bytes
        if bytes.starts(with: "PK\u{3}\u{4}".utf8) || bytes.starts(with: "PK\u{5}\u{6}".utf8) {
            self = try TorchArchive(file, salvaging: options.salvaging).read(asScript: options.root != nil)
        } else if bytes.starts(with: TorchStream.magic.prefix(bytes.count)), !bytes.isEmpty {
            self = try TorchStream.read(file, salvaging: options.salvaging)
        } else if bytes.dropFirst(257).starts(with: "ustar".utf8) {
            throw FormatError(
                .unsupportedArchive,
                "the file is a tar archive, as PyTorch wrote before version 0.1.10; those are not read",
                file: file.path,
                byteOffset: 257, hint: "load it in an old version of PyTorch and save it again")
        } else {
            throw FormatError(
                .badMagic, "the file is neither a zip archive nor a stream of pickles as PyTorch writes them",
                file: file.path, byteOffset: 0)
        }
    }

    init(
        arena: PickleArena, root: PickleValue.ID, source: PickleSource, records: [TorchStorage.Key: TorchRecord],
        members: [ZipEntry] = [], isBigEndian: Bool = false, warnings: [Warning] = [], damage: [Damage] = [],
        pickleOwner: AlignedBuffer? = nil
    ) {
        self.arena = arena
        self.root = root
        self.source = source
        self.records = records
        self.members = members
        self.isBigEndian = isBigEndian
        self.warnings = warnings
        self.damage = damage
        self.pickleOwner = pickleOwner
    }
}

/// The numbers of one storage, where they lie in the file.
struct TorchRecord {
    /// What holds them in an archive; nil in a legacy file, which has no checksums.
    let entry: ZipEntry?
    /// The bytes of the file, compressed or not.
    let data: Range<Int>
    /// The size of the numbers.
    let byteCount: Int
    /// What the list of a legacy file says of the number of elements.
    let count: Int?
    /// Whether the file ends before the record does.
    let isCut: Bool

    init(_ entry: ZipEntry) {
        self.entry = entry
        data = entry.data
        byteCount = entry.byteCount
        count = nil
        isCut = false
    }

    init(data: Range<Int>, count: Int, isCut: Bool) {
        entry = nil
        self.data = data
        byteCount = data.count
        self.count = count
        self.isCut = isCut
    }

    /// Whether the numbers can be used where they are mapped.
    var isStored: Bool { entry.map { $0.method == .stored } ?? true }
}
