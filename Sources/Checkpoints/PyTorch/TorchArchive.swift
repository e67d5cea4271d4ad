import SystemPackage
import TensorCore

// A zip archive with one folder, whose name is free:
//
//     ROOT/data.pkl        the pickle
//     ROOT/byteorder       "little" or "big"; little if it is missing
//     ROOT/data/KEY        the numbers of a storage, stored at multiples of 64 bytes
//     ROOT/version, ROOT/.format_version, ROOT/.storage_alignment, ROOT/.data/serialization_id
//
// A TorchScript archive has code/ and constants.pkl beside them, and older ones keep tensors in constants/ as well.
// Source: PyTorch, torch/serialization.py and caffe2/serialize/inline_container.cc.

/// The archive that `torch.save` writes since version 1.6.
struct TorchArchive {
    private let file: MappedFile
    private let entries: [ZipEntry]
    private let damage: [Damage]
    /// False for what `torch.serialization.set_crc32_options(False)` makes PyTorch write: all of them are zero.
    private let hasChecksums: Bool
    /// The members by name, those of the root without its name.
    private let members: [TensorName: ZipEntry]

    /// Members that tell an archive of PyTorch when there is no data.pkl.
    static let records = ["/constants.pkl", "/.format_version", "/byteorder", "/.data/serialization_id", "/version"]

    /// Of real files it has some megabytes.
    static let maximumPickleByteCount = 1 << 28
    /// PyTorch deflates no pickle; other tools make a twentieth of one. What unpacks to more bytes than the allowance may not be
    /// smaller than this part of them.
    private static let (inflationAllowance, maximumInflation) = (1 << 24, 64)

    private static func maximumByteCount(of pickle: ZipEntry) -> Int {
        guard pickle.method == .deflated, pickle.data.count < maximumPickleByteCount else {
            return maximumPickleByteCount
        }
        return min(maximumPickleByteCount, max(inflationAllowance, maximumInflation * pickle.data.count))
    }

    /// Reads the directory and finds the root.
    ///
    /// - Parameter salvaging: whether an archive that other bytes follow is read without them.
    /// - Throws: `FormatError` `zip_structure`, `duplicate_member`, and what else is wrong with a zip archive.
    init(_ file: MappedFile, salvaging: Bool) throws(FormatError) {
        self.file = file
        let directory = try CentralDirectory(of: file.bytes, path: file.path, salvaging: salvaging)
        entries = directory.entries
        damage = [directory.rest.map { Damage(behindArchive: $0, in: file) }].compactMap { $0 }
        hasChecksums = entries.contains { $0.crc32 != 0 }
        var places: [TensorName: Int] = [:]
        var roots: [String] = []
        for (place, entry) in entries.enumerated() {
            guard places.updateValue(place, forKey: TensorName(entry.name)) == nil else {
                throw FormatError(
                    .duplicateMember, "two members of the archive are named \(entry.label)", file: file.path,
                    byteOffset: entry.localHeaderOffset)
            }
            let parts = entry.name.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
            if parts.count == 2, parts[1].elementsEqual("data.pkl".utf8) {
                roots.append(String(decoding: parts[0], as: UTF8.self))
            }
        }
        guard let root = roots.first else {
            throw FormatError(
                .zipStructure, "the archive has no data.pkl in a folder, which every PyTorch checkpoint has",
                file: file.path, byteOffset: 0,
                hint: "unpack it first, if it is an archive of files, and name the checkpoint in it")
        }
        if roots.count > 1 {
            throw FormatError(
                .zipStructure,
                "the archive has \(roots.count) folders with a data.pkl (\(roots.prefix(3).map(\.escapingControlCharacters).joined(separator: ", "))), and no telling "
                    + "which is meant", file: file.path, byteOffset: 0)
        }
        let prefix = Array("\(root)/".utf8)
        var members: [TensorName: ZipEntry] = [:]
        for entry in entries where entry.name.utf8.starts(with: prefix) {
            members[TensorName(String(decoding: entry.name.utf8.dropFirst(prefix.count), as: UTF8.self))] = entry
        }
        self.members = members
    }

    private var isScript: Bool {
        members["constants.pkl"] != nil || members.keys.contains { $0.text.utf8.starts(with: "code/".utf8) }
    }

    /// Reads the pickle and finds the records.
    ///
    /// - Parameter asScript: whether the weights of a TorchScript archive are wanted, which is a program.
    /// - Throws: `FormatError` `unsupported_archive` for a TorchScript archive, `bad_byteorder`, `bad_crc`, and what
    ///   `Unpickler.load` throws; `IOError` when there is no memory.
    func read(asScript: Bool) throws -> TorchFile {
        guard let pickle = members["data.pkl"] else { preconditionFailure("the root is where data.pkl is") }
        if isScript, !asScript {
            throw FormatError(
                .unsupportedArchive, "the file is a TorchScript archive: a program with its weights", file: file.path,
                byteOffset: pickle.localHeaderOffset,
                hint: "`--root .` reads all of its tensors, `--root MODULE` those of a part; the program is left out")
        }
        let limit = Self.maximumByteCount(of: pickle)
        guard pickle.byteCount <= limit else {
            throw FormatError(
                .limitExceeded,
                "data.pkl has \(pickle.byteCount) bytes, stored in \(pickle.data.count); \(limit) are the most that are read",
                file: file.path, byteOffset: pickle.localHeaderOffset)
        }
        let (bytes, owner) = try contents(of: pickle)
        return try withExtendedLifetime(owner) {
            let source = PickleSource(
                bytes: bytes, file: file.path, start: owner == nil ? pickle.data.lowerBound : nil, isScript: isScript)
            var budget = PickleBudget()
            let (arena, root, end) = try Unpickler.load(source, budget: &budget)
            guard end == bytes.count else {
                throw source.fault(
                    .unsafePickle,
                    "\(bytes.count - end) bytes follow the end of the pickle in data.pkl, where a second one could hide",
                    at: end)
            }
            return TorchFile(
                arena: arena, root: root, source: source, records: records, members: hasChecksums ? entries : [],
                isBigEndian: try isBigEndian(), warnings: hasChecksums ? [] : [Self.noChecksums], damage: damage,
                pickleOwner: owner)
        }
    }

    private static let noChecksums = Warning(
        FormatWarning.noChecksums, "the archive was written without checksums, so damage to its numbers cannot be seen")

    private var records: [TorchStorage.Key: TorchRecord] {
        var records: [TorchStorage.Key: TorchRecord] = [:]
        // Where both hold a key, that of data/ counts, as for torch.jit.load.
        for folder in isScript ? ["constants/", "data/"] : ["data/"] {
            for (name, entry) in members where name.text.utf8.starts(with: folder.utf8) {
                // Any other member is no storage.
                guard let key = TorchStorage.key(name.text.utf8.dropFirst(folder.utf8.count)) else { continue }
                records[key] = TorchRecord(entry)
            }
        }
        return records
    }

    private func isBigEndian() throws -> Bool {
        guard let entry = members["byteorder"] else { return false }
        guard entry.byteCount <= 16 else { throw badByteOrder("a text of \(entry.byteCount) bytes", entry) }
        let (bytes, owner) = try contents(of: entry)
        return try withExtendedLifetime(owner) {
            if bytes.elementsEqual("little".utf8) { return false }
            if bytes.elementsEqual("big".utf8) { return true }
            throw badByteOrder("\"\(String(decoding: bytes, as: UTF8.self).escapingControlCharacters)\"", entry)
        }
    }

    private func badByteOrder(_ found: String, _ entry: ZipEntry) -> FormatError {
        FormatError(
            .badByteorder, "the archive gives its byte order as \(found), not as \"little\" or \"big\"",
            file: file.path, byteOffset: entry.data.lowerBound)
    }

    /// The bytes of a small member, whose checksum is compared.
    ///
    /// - Returns: also what holds them, if they were decompressed.
    private func contents(of entry: ZipEntry) throws -> (UnsafeRawBufferPointer, AlignedBuffer?) {
        switch entry.method {
        case .stored:
            if hasChecksums { try entry.checkContents(named: nil, in: file) }
            return (UnsafeRawBufferPointer(rebasing: file.bytes[entry.data]), nil)
        case .deflated:
            let buffer = try entry.inflated(named: nil, in: file)
            return (buffer.bytes, buffer)
        case nil: throw entry.unsupportedMethod(named: TensorName(entry.name), in: file)
        }
    }
}

extension ZipEntry {
    /// The bytes of a deflated member.
    ///
    /// - Throws: `FormatError` with `bad_crc`, `bad_deflate` or `size_mismatch`; `IOError` when there is no memory.
    func inflated(named tensor: TensorName?, in file: MappedFile) throws -> AlignedBuffer {
        let buffer = try AlignedBuffer(byteCount: byteCount)
        var position = 0
        // A stream never yields more than the size that the directory states.
        try inflate(named: tensor, in: file) { block in
            UnsafeMutableRawBufferPointer(rebasing: buffer.mutableBytes[position...]).copyMemory(from: block)
            position += block.count
        }
        return buffer
    }
}
