import Checkpoints
import SystemPackage
import TensorCore

/// The digest of everything that determines what a stage produces: its settings and the contents of its inputs.
///
/// A stage writes it into the metadata of its output, and a later run that finds an output with the signature it is about to
/// produce takes the stage as done.
public struct StageSignature: Sendable, Hashable {
    /// 64 hexadecimal digits.
    public let text: String

    /// The metadata key that carries a signature.
    static let key = "untangle.signature"

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

    /// Whether there is an output at a path that was made with this signature.
    func matches(outputAt path: FilePath) -> Bool {
        guard fileExists(path), let store = try? TensorStore(opening: path) else { return false }
        return store.metadata[Self.key] == text
    }
}
