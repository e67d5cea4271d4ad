import SystemPackage
import TensorCore

/// Reads one checkpoint: the list of its tensors at once, their bytes on demand.
public protocol CheckpointReader: Sendable {
    var format: FormatID { get }
    /// The path that was opened.
    var path: FilePath { get }
    /// Every file that belongs to the checkpoint.
    var files: [FilePath] { get }
    /// The tensors in the order of the file.
    var descriptors: [TensorDescriptor] { get }
    var metadata: Metadata { get }
    /// Deviations that are tolerated but worth a line.
    var warnings: [Warning] { get }
    /// What the checkpoint holds besides and why it is no tensor, or none that can be read.
    var unreadable: [UnreadableMember] { get }

    /// The bytes of a tensor, little-endian and row-major.
    ///
    /// - Throws: `FormatError` when stored data is damaged, `IOError` when there is no memory to decode it.
    func bytes(of index: Int) throws -> TensorBytes

    /// The checkpoint as most others name and order its tensors, where the format has a scheme of its own; else the reader itself.
    ///
    /// - Throws: `FormatError` when tensors do not fit what the file says of them.
    func inCommonNames() throws -> any CheckpointReader

    /// Whether `bytes(of:)` maps the tensor, at no cost in memory, or decodes it.
    func isMapped(_ index: Int) -> Bool

    /// Whether a part of the tensor can be read without decoding all of it.
    func canReadRanges(of index: Int) -> Bool

    /// Whether any part of a tensor can be read at a cost by its size: of one that is mapped, or made of mapped parts as it is read.
    func canReadAnywhere(in index: Int) -> Bool

    /// Reads part of a tensor's bytes on the calling thread.
    ///
    /// - Precondition: the range lies inside the tensor and `target` has its size.
    /// - Throws: as `bytes(of:)`.
    func read(_ range: Range<Int>, of index: Int, into target: UnsafeMutableRawBufferPointer) throws

    /// The bytes of a tensor that are decoded together: none when it is mapped, all of it where parts cannot be read, else
    /// those of a compressed piece. Reading less than a piece costs nearly as much as reading the piece.
    func decodedTogetherByteCount(of index: Int) -> Int

    /// The type in which a result in the place of a tensor is best stored: the tensor's own, or that which a quantised weight had before.
    func restingType(of index: Int) -> DType

    /// Where the stored form of a tensor lies.
    func location(of index: Int) -> StoredLocation

    /// Reads all files and checks every checksum the format has.
    ///
    /// - Parameters:
    ///   - deep: also decode everything and compare the contents with their hashes, where the format has any.
    ///   - threads: how many threads read and check; the result does not depend on it.
    ///   - progress: receives the bytes checked since the last call, from any thread; they add up to no more than the sizes of
    ///     `files`.
    /// - Throws: `IOError` when a file cannot be read, `FormatError` when a base is needed and not there. Damage is a
    ///   result.
    func verify(deep: Bool, threads: Int, progress: @escaping @Sendable (Int) -> Void) throws -> Verification
}

extension CheckpointReader {
    public var unreadable: [UnreadableMember] { [] }

    /// The reader itself.
    ///
    /// - Throws: nothing; readers of formats with a scheme of names do.
    public func inCommonNames() throws -> any CheckpointReader { self }

    public func restingType(of index: Int) -> DType { descriptors[index].dtype }

    public func canReadRanges(of index: Int) -> Bool { isMapped(index) }

    public func canReadAnywhere(in index: Int) -> Bool { isMapped(index) }

    public func read(_ range: Range<Int>, of index: Int, into target: UnsafeMutableRawBufferPointer) throws {
        try bytes(of: index).withUnsafeBytes { target.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[range])) }
    }

    /// Calls `body` with a range of a tensor's bytes, where they are mapped or read into memory.
    ///
    /// - Throws: what reading and `body` throw.
    func withStoredBytes<R>(
        _ range: Range<Int>, of index: Int, _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        if isMapped(index) {
            return try bytes(of: index).withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[range])) }
        }
        let buffer = try AlignedBuffer(byteCount: range.count, isZeroed: false)
        try read(range, of: index, into: buffer.mutableBytes)
        return try withExtendedLifetime(buffer) { try body(buffer.bytes) }
    }

    public func decodedTogetherByteCount(of index: Int) -> Int { isMapped(index) ? 0 : descriptors[index].byteCount }

    /// Reads all files and checks every checksum the format has, on every processor.
    ///
    /// - Throws: `IOError` when a file cannot be read, `FormatError` when a base is needed and not there. Damage is a
    ///   result.
    public func verify(deep: Bool = false) throws -> Verification {
        try verify(deep: deep, threads: availableCoreCount) { _ in }
    }
}

/// A member of a checkpoint that is not among its tensors.
public struct UnreadableMember: Sendable, Hashable {
    /// The name that the tensor would have.
    public let name: TensorName
    /// What a reader of the member alone would say.
    public let error: FormatError
}

/// A range of a file.
public struct StoredLocation: Hashable, Sendable {
    public let file: FilePath
    public let range: Range<Int>

    public init(file: FilePath, range: Range<Int>) {
        self.file = file
        self.range = range
    }
}

/// What reading a checkpoint through found.
public struct Verification: Sendable, Hashable {
    public var checkedByteCount: Int
    public var damage: [Damage]

    public init(checkedByteCount: Int = 0, damage: [Damage] = []) {
        self.checkedByteCount = checkedByteCount
        self.damage = damage
    }
}

extension Verification {
    /// Adds what reading another file of the checkpoint found.
    static func += (total: inout Verification, part: Verification) {
        total.checkedByteCount += part.checkedByteCount
        total.damage += part.damage
    }

    /// The tensors that cannot be relied on, one entry for each with the first reason found and the range around all of its
    /// damage: what salvaging leaves out.
    public var losses: [Damage] {
        var losses: [Damage] = []
        var places: [TensorName: Int] = [:]
        for entry in damage {
            guard let name = entry.tensor else { continue }
            guard let place = places[name], losses[place].file == entry.file else {
                // Of a tensor that lies in several files the first counts.
                if places[name] == nil {
                    places[name] = losses.count
                    losses.append(entry)
                }
                continue
            }
            let first = losses[place]
            let start = min(first.offset, entry.offset)
            let end = max(first.offset + first.byteCount, entry.offset + entry.byteCount)
            losses[place] = Damage(
                tensor: name, file: first.file, offset: start, byteCount: end - start, reason: first.reason)
        }
        return losses
    }

    /// The damage that costs no tensor: to second copies, to padding, behind the end.
    public var harmlessDamage: [Damage] { damage.filter { $0.tensor == nil } }
}

/// One damaged piece of a checkpoint.
public struct Damage: Sendable, Hashable {
    public let tensor: TensorName?
    public let file: FilePath
    public let offset: Int
    public let byteCount: Int
    public let reason: String

    public init(tensor: TensorName?, file: FilePath, offset: Int, byteCount: Int, reason: String) {
        self.tensor = tensor
        self.file = file
        self.offset = offset
        self.byteCount = byteCount
        self.reason = reason
    }

    /// Of damage that costs no tensor.
    public var warning: Warning { Warning(FormatWarning.harmlessDamage, "\(reason), at byte \(offset)") }
}

/// What the user says about an input that its bytes do not.
public struct ReadOptions: Sendable {
    /// The tensors that the work at hand is about. What an archive holds besides them locks nothing, whatever it is.
    public var selection: TensorSelection
    /// The types that void (`V1`, `V2`) and `<f1` elements of NumPy files stand for.
    public var npyVoid: VoidTypes
    /// The part of a PyTorch file to read, by its dotted name; `.` stands for all of it with what lies in lists, nil for all of the
    /// dictionaries.
    public var root: String?
    /// The base of a .skein file that was written against one; nil looks for it beside the file.
    public var base: FilePath?
    /// The base that the work at hand is about, such as that of a merge: a likely base for a .skein file whose own is not named
    /// and not found beside it.
    public var sharedBase: FilePath?
    /// Open a file that is cut short or has damaged members, for what is left of it.
    public var salvaging: Bool
    /// The threads that decode one tensor, where the format allows several.
    public var threads: Int
    /// Bytes that a .skein file may claim to decode to however small it is; beyond them, 8192 times its size is the limit.
    /// Constant data takes a byte a chunk, so nothing else bounds what a small file can claim.
    public var expansionAllowance: Int
    /// The bytes that a tensor may take which is decoded whole; nil sets no bound.
    public var memoryByteCount: Int?
    /// Give tensors as they are stored: blocks as these blocks, under the names of the format.
    public var keepsBlocks = false
    /// Give quantised weights as the parts that are stored, codes and scales, instead of the numbers that these stand for.
    public var keepsParts = false
    /// What was noticed on the way to the file; goes before the warnings of its reader.
    var notes: [Warning] = []

    /// 1 GiB.
    public static let defaultExpansionAllowance = 1 << 30

    public init(
        selection: TensorSelection = TensorSelection(), npyVoid: VoidTypes = VoidTypes(), root: String? = nil,
        base: FilePath? = nil,
        sharedBase: FilePath? = nil, salvaging: Bool = false,
        threads: Int = availableCoreCount, expansionAllowance: Int = defaultExpansionAllowance,
        memoryByteCount: Int? = nil
    ) {
        self.selection = selection
        self.npyVoid = npyVoid
        self.root = root
        self.base = base
        self.sharedBase = sharedBase
        self.salvaging = salvaging
        self.threads = threads
        self.expansionAllowance = expansionAllowance
        self.memoryByteCount = memoryByteCount
    }

    /// The same for all of a file that stands by itself, as it is stored.
    var withoutBase: ReadOptions {
        var options = ReadOptions(
            npyVoid: npyVoid, salvaging: salvaging, threads: threads, expansionAllowance: expansionAllowance,
            memoryByteCount: memoryByteCount)
        options.keepsParts = true
        return options
    }

    /// The base to open for a file that recorded one; nil stands for the file of the recorded name beside it.
    ///
    /// The shared base goes before a neighbour only if it bears the recorded name: a copy of the base that was put beside the
    /// file was put there for it.
    func base(recordedAs name: String?, beside file: FilePath) -> FilePath? {
        if let base { return base }
        guard let sharedBase, let name, let component = FilePath.Component(name),
            ![sharedBase, CheckpointFolder.file(of: sharedBase)].contains(where: { $0.lastComponent == component })
        else { return sharedBase }
        let neighbour = file.removingLastComponent().appending(component)
        let isThere = fileExists(neighbour) && !isSameFile(neighbour, file)
        return isThere ? nil : sharedBase
    }
}
