import Checkpoints
import SystemPackage
import TensorCore

extension FuzzTarget {
    static let safetensors = checkpoint("safetensors") { try SafetensorsReader(opening: $0, options: $1) }
    static let npy = checkpoint("npy") { try NpyReader(opening: $0, options: $1) }
    static let npz = checkpoint("npz") { try NpzReader(opening: $0, options: $1) }
    static let skein = checkpoint("skein") { try SkeinReader(opening: $0, options: $1) }
    static let gguf = checkpoint("gguf") { try CheckpointView(decoding: GGUFReader(opening: $0, options: $1)) }
    static let torch = checkpoint("torch", roots: [nil, "."]) { try TorchReader(opening: $0, options: $1) }
    /// The program of a PyTorch archive, beside three storages of bytes.
    static let pickle = checkpoint(
        "pickle", roots: [nil, "."],
        preparing: { program in
            let storages = (0..<3).map { ("a/data/\($0)", [UInt8](repeating: 63, count: 64 << $0)) }
            return StoredArchive([("a/data.pkl", program), ("a/byteorder", Array("little".utf8))] + storages).file
        }
    ) { try TorchReader(opening: $0, options: $1) }
    /// A .skein file whose checksums are made right first, as they would stop nearly every change.
    static let sealedSkein = checkpoint("skein-sealed", preparing: SkeinSealing.sealed) {
        try SkeinReader(opening: $0, options: $1)
    }
    /// Whatever the first bytes say it is.
    static let sniffed = checkpoint("sniffed") { try CheckpointFormat.open($0, options: $1) }

    /// An index over the two shards of a file of the conformance set.
    static let index = {
        let file = MemoryFile()
        let shards = (1...2).map { "model-0000\($0)-of-00002.safetensors" }
        let folder = file.folder(
            showing: ["model.safetensors.index.json"],
            beside: Dictionary(
                uniqueKeysWithValues: shards.map { ($0, "Fixtures/conformance/good/index/two_shards/\($0)") }))
        return FuzzTarget("index") { bytes in
            _ = file.replace(with: bytes)
            try readThrough { try CheckpointFormat.open(folder.appending("model.safetensors.index.json"), options: $0) }
        }
    }()

    /// A target that opens one file with one reader, for each of some parts of it.
    private static func checkpoint(
        _ name: String, roots: [String?] = [nil], preparing: @escaping @Sendable ([UInt8]) -> [UInt8] = { $0 },
        open: @escaping @Sendable (FilePath, ReadOptions) throws -> any CheckpointReader
    ) -> FuzzTarget {
        let file = MemoryFile()
        return FuzzTarget(name) { bytes in
            let path = file.replace(with: preparing(bytes))
            for root in roots.dropFirst() { try? readThrough(root: root) { try open(path, $0) } }
            try readThrough(root: roots[0]) { try open(path, $0) }
        }
    }

    /// Asks a reader all that it can be asked, then once more for what is left of the file.
    private static func readThrough(root: String? = nil, _ open: (ReadOptions) throws -> any CheckpointReader) throws {
        var options = ReadOptions(
            npyVoid: VoidTypes(.bf16), root: root, threads: 1, expansionAllowance: 1 << 22, memoryByteCount: 1 << 26)
        options.salvaging = true
        if let reader = try? open(options) { try ask(reader) }
        options.salvaging = false
        try ask(open(options))
    }

    private static func ask(_ reader: any CheckpointReader) throws {
        for (index, tensor) in reader.descriptors.enumerated().prefix(64) {
            _ = reader.location(of: index)
            guard tensor.byteCount <= 1 << 20 else { continue }
            guard let bytes = try? reader.bytes(of: index) else { continue }
            precondition(bytes.withUnsafeBytes { $0.count } == tensor.byteCount)
            guard reader.canReadRanges(of: index), tensor.byteCount > 2 else { continue }
            var part = [UInt8](repeating: 0, count: tensor.byteCount - 2)
            let isRead = part.withUnsafeMutableBytes { target in
                (try? reader.read(1..<tensor.byteCount - 1, of: index, into: target)) != nil
            }
            precondition(!isRead || bytes.withUnsafeBytes { part.elementsEqual($0[1..<tensor.byteCount - 1]) })
        }
        for warning in reader.warnings { precondition(!warning.text.isEmpty) }
        _ = try reader.verify(deep: true, threads: 1) { _ in }
    }
}
