import SystemPackage
import TensorCore

/// The first bytes of a file, from which its format is told.
struct FileSignature {
    private let path: FilePath
    private let file: MappedFile
    /// 512 bytes, or all of a shorter file.
    let head: [UInt8]

    /// Enough for the magic number of a tar archive.
    private static let headByteCount = 512

    /// Reads the first bytes of a file.
    ///
    /// - Throws: `IOError` when the file cannot be read.
    init(of path: FilePath) throws(IOError) { self.init(of: path, in: try EditJournal.map(path)) }

    /// Looks at a file that is about to be opened, and opens it. What happens to it in between is noticed; the mapping of the signature is
    /// over then, because it would keep a file locked whose header is being replaced.
    ///
    /// - Throws: `io.changed`, and what the two throw.
    static func open<Found, Reader>(
        _ path: FilePath, lookingAt look: (FileSignature) throws -> Found, _ open: (Found) throws -> Reader
    ) throws -> Reader {
        func found() throws -> (Found, MappedFiles.Version) {
            let signature = try FileSignature(of: path)
            return (try look(signature), signature.file.version)
        }
        let (found, version) = try found()
        let reader = Result { try open(found) }
        try version.requireCurrent(at: path)
        return try reader.get()
    }

    /// Takes the first bytes of a file that is open.
    init(of path: FilePath, in file: MappedFile) {
        self.path = path
        self.file = file
        head = file.withUnsafeBytes { Array($0.prefix(Self.headByteCount)) }
    }

    /// The format by content, then by extension.
    ///
    /// - Throws: `FormatError` that says what the file is when it is something else: `unknown_format`, or what the format that
    ///   its name promises would say of such bytes.
    func format() throws(FormatError) -> CheckpointFormat {
        if isZip { try requireKnownArchive() }
        var formats: [CheckpointFormat.Confidence: CheckpointFormat] = [:]
        for format in CheckpointFormat.all {
            if let confidence = format.recognizes(self), formats[confidence] == nil { formats[confidence] = format }
        }
        if let certain = formats[.certain] { return certain }
        if !isZip { try requireReadable() }
        // The endings of PyTorch files stand for anything.
        let promised = isNamed(.torch) ? formats[.possible] ?? named : named
        if let likely = formats[.likely] ?? promised ?? formats[.possible] { return likely }
        let bytes = head.prefix(8).map { ($0 < 16 ? "0" : "") + String($0, radix: 16, uppercase: true) }
        let known = CheckpointFormat.all.flatMap(\.extensions).map { ".\($0)" }
        throw FormatError(
            .unknownFormat,
            "\(path.string) begins with the bytes \(bytes.joined(separator: " ")), which is no format that this version reads",
            file: path, byteOffset: 0,
            hint: "supported are \(known.joined(separator: ", ")) and *.index.json")
    }

    /// Makes sure that the file is nothing well known that is no checkpoint.
    ///
    /// - Throws: `FormatError` that names what it is.
    func requireReadable() throws(FormatError) {
        if fittingHeaderByteCount != nil { return }
        if head.isEmpty {
            throw fault(
                "is empty", named == nil ? .unknownFormat : .truncated,
                hint: "the download probably failed; get it again")
        }
        if let count = zeroByteCount {
            throw fault(
                "begins with \(count) bytes of zero, as an interrupted download leaves them",
                isNamed(.safetensors) ? .invalidJSON : named == nil ? .unknownFormat : .badMagic,
                hint: "get the file again")
        }
        let found = ForeignFormat(beginning: head)
        // Some formats begin like text in an old encoding.
        let isVague = found == nil || found == .text && ForeignFormat.printable(head) == nil
        guard let other = isVague ? formatWithoutMagic ?? found : found else { return }
        // The reader of .npy files has a word of its own about pickles.
        if isNamed(.npy), other == .pickle { return }
        throw fault(of: other)
    }

    /// What the end of the file or its name says, of formats whose first bytes may be anything.
    private var formatWithoutMagic: ForeignFormat? {
        guard named == nil else { return nil }
        // The number 0xdb4775248b80fb57 closes the index of a TensorFlow checkpoint.
        let end: [UInt8] = [0x57, 0xFB, 0x80, 0x8B, 0x24, 0x75, 0x47, 0xDB]
        if file.withUnsafeBytes({ $0.suffix(end.count).elementsEqual(end) }) { return .tensorFlow }
        let other = ForeignFormat(ofFileNamed: path.string)
        return [.onnx, .tensorFlow, .tensorFlowLite, .flax].contains(other) ? other : nil
    }

    private var named: CheckpointFormat? { CheckpointFormat.named(path) }

    /// Whether the name of the file promises a format.
    func isNamed(_ id: FormatID) -> Bool { named?.id == id }

    var isZip: Bool { head.starts(with: "PK\u{3}\u{4}".utf8) || head.starts(with: "PK\u{5}\u{6}".utf8) }

    /// The length of the header if the file could be safetensors: one that is in the limit and in the file.
    var fittingHeaderByteCount: Int? {
        guard head.count >= 8 else { return nil }
        let length = head.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
        guard length > 0, length <= SafetensorsHeader.byteCountLimit, length <= file.byteCount - 8 else { return nil }
        // The short name at the start of a tar archive is a small number, too, and zeros follow it.
        return head[8] == 0 ? nil : Int(length)
    }

    /// How many zeros the file begins with, as far as it is looked at; nil for few.
    private var zeroByteCount: Int? {
        guard head.count > 8, head.allSatisfy({ $0 == 0 }) else { return nil }
        return file.withUnsafeBytes { $0.prefix(1 << 20).prefix { $0 == 0 }.count }
    }

    /// The names of the members of an archive, as far as its directory tells.
    var archiveNames: [String] { file.withUnsafeBytes { CentralDirectory.names(in: $0, atMost: 10_000) } }

    /// Makes sure that an archive is none that others write.
    ///
    /// - Throws: `FormatError` that names what it is.
    private func requireKnownArchive() throws(FormatError) {
        if let other = ForeignFormat(archiveOf: archiveNames) { throw fault(of: other) }
        // Archives behind each other, each of which looks like a checkpoint.
        if ForeignFormat(ofFileNamed: path.string) == .torchDistributed { throw fault(of: .torchDistributed) }
    }

    private func fault(of other: ForeignFormat) -> FormatError {
        var what = "is \(other.name)"
        if other == .text || other == .xml, let start = ForeignFormat.printable(Array(head.prefix(60))) {
            // Settings and notes are no message.
            if other == .text, isNamedAsText { what = "is text" }
            let words = start.split(whereSeparator: \.isWhitespace).joined(separator: " ")
            what += ": \(words)\(file.byteCount > 60 ? "..." : "")"
        } else if other != .lfsPointer, other != .webPage {
            what += ", which this version does not read"
        }
        return fault(what, category(of: other), hint: other.remedy)
    }

    private var isNamedAsText: Bool {
        ["json", "txt", "md", "yaml", "yml", "toml", "py", "csv"].contains(path.extension?.lowercased())
    }

    private func fault(_ what: String, _ category: FormatCategory, hint: String) -> FormatError {
        FormatError(category, "\(path.string) \(what)", file: path, byteOffset: 0, hint: hint)
    }

    /// What the rules of the format say of such bytes that the name promises.
    private func category(of other: ForeignFormat) -> FormatCategory {
        switch named?.id {
        case .safetensors where other == .webPage || other == .xml || other == .tar: .invalidJSON
        case .safetensors where !isZip: .headerTooLarge
        case .torch where [.tar, .torchExport, .torchPackage].contains(other): .unsupportedArchive
        case .npz, .npy, .skein, .torch: .badMagic
        default: .unknownFormat
        }
    }
}
