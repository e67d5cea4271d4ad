import CZstd
import Checkpoints
import Glibc
import Kernels
import SystemPackage
import TensorCore

extension BenchmarkCase {
    /// The codec of the native format in memory, checksums included, beside a plain copy and plain zstd; and rows of a file.
    static let skein = BenchmarkCase(
        name: "skein", question: "How fast is the native format, beside memcpy and zstd -1 of the same bytes?",
        options: "[--checkpoint FILE [--base FILE]] [--megabytes 128] [--threads 1] [--runs 5] [--level default] "
            + "[--chunk-kib 1024] [--rows 2000] [--folder /tmp]"
    ) { options in
        let folder = try SyntheticFolder(options)
        let byteCount = try options.number("megabytes", default: 128) << 20
        func synthetic(_ seed: UInt64) throws -> FilePath {
            try folder.checkpoint("model\(seed)", byteCount: byteCount, dtype: .bf16, width: 1024, seed: seed)
        }
        let given = options.text("checkpoint", default: "")
        let path = try given.isEmpty ? synthetic(1) : FilePath(given)
        let store = try TensorStore(opening: path)
        let baseText = options.text("base", default: "")
        let basePath = baseText.isEmpty ? (given.isEmpty ? try synthetic(0) : nil) : FilePath(baseText)
        let base = try basePath.map { try TensorStore(opening: $0) }
        guard let level = SkeinLevel(rawValue: options.text("level", default: "default")) else {
            throw BenchmarkUsage(message: "--level is fast, default or max")
        }
        let settings = SkeinOptions(level: level, chunkByteCount: try options.number("chunk-kib", default: 1024) << 10)
        let threads = try options.number("threads", default: 1)
        let runs = try options.number("runs", default: 5)
        let run = try SkeinRun(store, base: base, options: settings, threads: threads, runs: runs)
        print("\(path.lastComponent?.string ?? ""): \(run.byteCount) bytes, \(threads) threads, best of \(runs)")
        try run.floors()
        try run.codec("", base: false)
        if base != nil { try run.codec("delta ", base: true) }
        try rowAccess(store, folder: folder, options: settings, rows: try options.number("rows", default: 2000))
    }

    /// Reads single rows of the largest matrix at random places.
    private static func rowAccess(
        _ store: TensorStore, folder: SyntheticFolder, options: SkeinOptions, rows: Int
    ) throws {
        let matrices = store.descriptors.filter { $0.shape.rank >= 2 && !$0.shape.dims.contains(0) }
        guard let largest = matrices.max(by: { $0.byteCount < $1.byteCount }), let index = store.index(of: largest.name)
        else { return }
        let path = folder.file("rows.skein")
        let writer = try CheckpointFormat.makeWriter(
            .skein, at: path, declaring: [largest], options: WriteOptions(force: true, sync: false, skein: options))
        try store.reader.bytes(of: index).withUnsafeBytes { try writer.write($0, tensor: 0, at: 0) }
        _ = try writer.finish()
        let reader = try SkeinReader(opening: path)
        let generator = CounterGenerator(seed: 1, stream: 0)
        let time = try Measurement {
            for access in 0..<rows {
                let row = Int(generator.below(largest.shape.dims[0], UInt64(access)))
                _ = try reader.bytes(of: 0, rows: row..<row + 1)
            }
        }
        print(
            "one row of \(largest.shape) from a file: \(fixed(1e6 * time.wallSeconds / Double(rows), 0)) µs, in chunks of "
                + "\(options.chunkByteCount >> 10) KiB")
    }
}

/// One checkpoint in memory, coded again and again.
private struct SkeinRun {
    let byteCount: Int
    private let descriptors: [TensorDescriptor]
    private let tensors: [TensorBytes]
    private let bases: [TensorBytes?]
    private let options: SkeinOptions
    private let threads: Int
    private let runs: Int
    private let target: AlignedBuffer

    init(_ store: TensorStore, base: TensorStore?, options: SkeinOptions, threads: Int, runs: Int) throws {
        descriptors = store.descriptors
        byteCount = descriptors.reduce(0) { $0 + $1.byteCount }
        tensors = try store.descriptors.indices.map { try store.reader.bytes(of: $0) }
        bases = try store.descriptors.map { descriptor in
            guard let match = base?.descriptor(named: descriptor.name), match == descriptor else { return nil }
            return try base?.bytes(of: descriptor.name)
        }
        self.options = options
        self.threads = threads
        self.runs = runs
        target = try AlignedBuffer(byteCount: descriptors.map(\.byteCount).max() ?? 0)
    }

    private func report(_ what: String, _ time: Measurement, _ size: Int? = nil) {
        let share = size.map { "\(fixed(100 * Double($0) / Double(byteCount), 2)) %, " } ?? ""
        let bytes = Double(byteCount) * 1e-9
        print(
            "\(what): \(share)\(fixed(bytes / time.wallSeconds, 2)) GB/s, \(fixed(bytes / time.processorSeconds, 2)) by CPU"
        )
    }

    /// A plain copy, and zstd at level 1 over pieces of 1 MiB, both on one thread.
    func floors() throws {
        let copy = Series(runs: runs) {
            for tensor in tensors {
                tensor.withUnsafeBytes { target.address.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
            }
        }
        report("memcpy", copy.best)
        let piece = 1 << 20
        let room = ZSTD_compressBound(piece)
        let pieceCount = descriptors.reduce(0) { $0 + ($1.byteCount + piece - 1) / piece }
        let output = try AlignedBuffer(byteCount: room * pieceCount)
        guard let encoder = ZSTD_createCCtx(), let decoder = ZSTD_createDCtx() else { return }
        defer {
            ZSTD_freeCCtx(encoder)
            ZSTD_freeDCtx(decoder)
        }
        var sizes = [Int](repeating: 0, count: pieceCount)
        func forEachPiece(_ body: (Int, UnsafeRawBufferPointer) -> Void) {
            var number = 0
            for tensor in tensors {
                tensor.withUnsafeBytes { bytes in
                    for start in stride(from: 0, to: bytes.count, by: piece) {
                        body(number, UnsafeRawBufferPointer(rebasing: bytes[start..<min(bytes.count, start + piece)]))
                        number += 1
                    }
                }
            }
        }
        let encoding = Series(runs: runs) {
            forEachPiece { number, bytes in
                sizes[number] = ZSTD_compressCCtx(
                    encoder, output.address + number * room, room, bytes.baseAddress, bytes.count, 1)
            }
        }
        report("zstd -1 encode", encoding.best, sizes.reduce(0, +))
        let decoding = Series(runs: runs) {
            forEachPiece { number, bytes in
                ZSTD_decompressDCtx(
                    decoder, target.address, bytes.count, output.address + number * room, sizes[number])
            }
        }
        report("zstd -1 decode", decoding.best)
    }

    /// Codes all tensors and decodes them again.
    func codec(_ label: String, base: Bool) throws {
        let coded = try SkeinCodedTensors(descriptors, options: options)
        let bases = bases.map { base ? $0 : nil }
        let encoding = try Series(runs: runs) { try coded.encode(tensors, bases: bases, threads: threads) }
        report("\(label)encode", encoding.best, coded.byteCount)
        let targets = try descriptors.map { try AlignedBuffer(byteCount: $0.byteCount) }
        let decoding = try Series(runs: runs) { try coded.decode(into: targets, bases: bases, threads: threads) }
        report("\(label)decode", decoding.best)
    }
}
