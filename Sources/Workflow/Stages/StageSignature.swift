import Checkpoints
import SystemPackage
import TensorCore

/// The digest of everything that determines what a stage produces: its settings and the contents of its inputs.
///
/// A run notes it, with the digests of all files that it wrote, in a file beside each output. A later run that finds the signature
/// it is about to produce, and these files unharmed, takes the stage as done.
public struct StageSignature: Sendable, Hashable {
    /// 64 hexadecimal digits.
    public let text: String

    /// Digests settings and inputs.
    ///
    /// - Parameters:
    ///   - settings: a text that differs whenever the stage would compute something else.
    ///   - files: inputs whose contents count, in the order of their roles.
    init(settings: String, files: [FilePath]) throws {
        let digest = TensorDigest.Accumulator()
        func add(_ bytes: UnsafeRawBufferPointer) {
            withUnsafeBytes(of: UInt64(bytes.count).littleEndian) { digest.update($0) }
            digest.update(bytes)
        }
        var settings = settings
        settings.withUTF8 { add(UnsafeRawBufferPointer($0)) }
        for file in files { try MappedFile(file).withUnsafeBytes { add($0) } }
        text = digest.finish().hexadecimal
    }

    /// A signature that also depends on further settings, without reading the files again.
    func extended(by settings: String) throws -> StageSignature {
        try StageSignature(settings: text + settings, files: [])
    }

    /// Whether there is an output at a path that was made with this signature, with everything that was written then.
    func matches(outputAt path: FilePath) -> Bool {
        guard fileExists(path), let store = try? TensorStore(opening: path), let file = store.reader.files.first,
            let note = try? MappedFile(Self.notePath(for: file)).withUnsafeBytes({ String(decoding: $0, as: UTF8.self) }
            )
        else { return false }
        let names = note.split(separator: "\n").dropFirst().map { $0.drop { $0 != " " }.dropFirst(2) }
        let files = names.map { file.removingLastComponent().appending(String($0)) }
        return !files.isEmpty && (try? text(for: files)) == note
    }

    /// Whether the output at a path was made by a stage, whatever its inputs were.
    static func exists(at path: FilePath) -> Bool {
        guard let store = try? TensorStore(opening: path) else { return false }
        return store.reader.files.contains { fileExists(notePath(for: $0)) }
    }

    /// Remembers the signature of a finished output in a file beside it.
    ///
    /// The note also has the digests of the output's files, so that it says nothing about one that was damaged, put in its place or
    /// taken away.
    func note(_ written: WrittenCheckpoint, options: WriteOptions) throws {
        guard let file = written.files.first else { return }
        let output = try AtomicOutput(
            creating: Self.notePath(for: file), byteCount: nil, options: WriteOptions(force: true, sync: options.sync))
        try output.write(Array(try text(for: written.files).utf8), at: 0)
        try output.commit()
    }

    private static func notePath(for file: FilePath) -> FilePath { FilePath(file.string + ".signature") }

    /// The signature, and a line for every file as `sha256sum` prints it.
    private func text(for files: [FilePath]) throws -> String {
        let lines = try files.map { file in
            let digest = try MappedFile(file).withUnsafeBytes { TensorDigest(of: $0) }
            return "\(digest.hexadecimal)  \(file.lastComponent?.string ?? "")\n"
        }
        return "\(text)\n" + lines.joined()
    }
}
