import Checkpoints
import TensorCore
import Testing

/// A tensor that is larger than the memory: half a GiB of zeros, which takes no room in a file.
@Suite struct SkeinMemoryTests {
    private let tool: Tool

    init() throws {
        tool = try Tool()
        let descriptor = try TensorDescriptor(name: "zeros", dtype: .f32, shape: [1 << 17, 1 << 10])
        let writer = try CheckpointFormat.makeWriter(
            .skein, at: tool.folder.file("zeros.skein"), declaring: [descriptor], options: WriteOptions(sync: false))
        let piece = try AlignedBuffer(byteCount: 8 << 20)
        for start in stride(from: 0, to: descriptor.byteCount, by: piece.byteCount) {
            try writer.write(piece.bytes, tensor: 0, at: start)
        }
        _ = try writer.finish()
    }

    /// The limit is on what a process allocates, far above what the program takes without data and below one tensor.
    @Test(arguments: [
        "inspect zeros.skein --stats", "inspect zeros.skein --checksum", "inspect zeros.skein --histogram zeros",
        "diff zeros.skein zeros.skein", "verify zeros.skein --deep", "convert zeros.skein out.skein --no-sync",
        "convert zeros.skein out.skein --no-sync --dtype bf16", "convert zeros.skein out.skein --no-sync --salvage",
    ]) func isReadInPieces(_ command: String) throws {
        let outcome = try tool.shell("ulimit -d 320000; untangle \(command) --memory 32MiB --threads 2 --quiet")
        #expect(outcome.status == 0, "\(outcome.errors)")
    }

    /// Of numpy: sha256(bytes(1 << 29)).
    @Test func piecesAddUp() throws {
        let outcome = try tool.run(
            "inspect", "zeros.skein", "--checksum", "--stats", "--memory", "1MiB", "--quiet", "--json")
        let tensor = try outcome.json()["tensors"][0]
        #expect(tensor["sha256"].string == "9acca8e8c22201155389f65abbf6bc9723edc7384ead80503839f49dcc56d767")
        #expect(tensor["stats"]["zeros"].int == 1 << 27)
    }
}
