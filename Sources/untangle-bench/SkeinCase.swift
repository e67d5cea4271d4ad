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
        options: "[--checkpoint FILE [--base FILE]] [--megabytes 128] [--threads N] [--runs 5] [--level default] "
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
        let threads = try options.budget().threads
        let runs = try options.number("runs", default: 5)
        let run = try SkeinRun(store, base: base, options: settings, threads: threads)
        print("\(path.lastComponent?.string ?? ""): \(run.byteCount) bytes, best of \(runs), all in turn")
        try run.measure(runs: runs)
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
private final class SkeinRun {
    let byteCount: Int
    private let descriptors: [TensorDescriptor]
    private let tensors: [TensorBytes]
    private let bases: [TensorBytes?]?
    private let threads: [Int]
    private let plain: SkeinCodedTensors
    private let delta: SkeinCodedTensors
    private let pieces: ZstdPieces
    private let targets: [AlignedBuffer]

    init(_ store: TensorStore, base: TensorStore?, options: SkeinOptions, threads: Int) throws {
        let descriptors = store.descriptors
        self.descriptors = descriptors
        byteCount = descriptors.reduce(0) { $0 + $1.byteCount }
        tensors = try descriptors.indices.map { try store.reader.bytes(of: $0) }
        bases = try base.map { base in
            try descriptors.map { descriptor in
                guard let match = base.descriptor(named: descriptor.name), match == descriptor else { return nil }
                return try base.bytes(of: descriptor.name)
            }
        }
        self.threads = threads > 1 ? [1, threads] : [1]
        plain = try SkeinCodedTensors(descriptors, options: options)
        delta = try SkeinCodedTensors(descriptors, options: options)
        pieces = try ZstdPieces(byteCounts: descriptors.map(\.byteCount))
        targets = try descriptors.map { try AlignedBuffer(byteCount: $0.byteCount) }
    }

    /// One row of the result.
    private struct Row {
        let label: String
        let threads: Int
        var byteCount: () -> Int? = { nil }
        let run: () throws -> Void
        var best: Measurement?
    }

    /// Takes the cases in turn, so that a drift of the machine meets all of them, and prints the best of each.
    func measure(runs: Int) throws {
        var rows = [
            Row(label: "memcpy", threads: 1) { [self] in
                for (tensor, target) in zip(tensors, targets) {
                    tensor.withUnsafeBytes { target.mutableBytes.copyMemory(from: $0) }
                }
            },
            Row(label: "zstd -1 encode", threads: 1, byteCount: { [pieces] in pieces.codedByteCount }) { [self] in
                pieces.encode(tensors)
            },
            Row(label: "zstd -1 decode", threads: 1) { [self] in pieces.decode(into: targets) },
        ]
        let none = [TensorBytes?](repeating: nil, count: tensors.count)
        for (label, coded, bases) in [("", plain, none)] + (bases.map { [("delta ", delta, $0)] } ?? []) {
            for threads in threads {
                rows.append(
                    Row(label: "\(label)encode", threads: threads, byteCount: { coded.byteCount }) { [self] in
                        try coded.encode(tensors, bases: bases, threads: threads)
                    })
            }
            for threads in threads {
                rows.append(
                    Row(label: "\(label)decode", threads: threads) { [self] in
                        try coded.decode(into: targets, bases: bases, threads: threads)
                    })
            }
        }
        for _ in 0..<runs {
            for number in rows.indices {
                let time = try Measurement { try rows[number].run() }
                if time.wallSeconds < rows[number].best?.wallSeconds ?? .infinity { rows[number].best = time }
            }
        }
        for row in rows {
            guard let best = row.best else { continue }
            let share = row.byteCount().map { "\(fixed(100 * Double($0) / Double(byteCount), 2)) %, " } ?? ""
            let bytes = Double(byteCount) * 1e-9
            let alone = rows.first { $0.label == row.label && $0.threads == 1 }?.best
            let gain =
                row.threads == 1
                ? "" : ", \(fixed((alone?.wallSeconds ?? .nan) / best.wallSeconds, 2)) times one thread"
            print(
                "\(row.label), \(row.threads) \(row.threads == 1 ? "thread" : "threads"): \(share)"
                    + "\(fixed(bytes / best.wallSeconds, 2)) GB/s, \(fixed(bytes / best.processorSeconds, 2)) by CPU\(gain)"
            )
        }
    }
}

/// Plain zstd at level 1 over pieces of 1 MiB on one thread: what a general compressor does with the same bytes.
private final class ZstdPieces {
    private static let pieceByteCount = 1 << 20
    private let room = ZSTD_compressBound(pieceByteCount)
    private let output: AlignedBuffer
    private var sizes: [Int]
    // Safety: made in init, freed in deinit, used by one thread.
    private let encoder: OpaquePointer
    private let decoder: OpaquePointer

    init(byteCounts: [Int]) throws {
        sizes = Array(
            repeating: 0,
            count: byteCounts.reduce(0) { $0 + ($1 + Self.pieceByteCount - 1) / Self.pieceByteCount })
        output = try AlignedBuffer(byteCount: room * sizes.count)
        guard let encoder = ZSTD_createCCtx(), let decoder = ZSTD_createDCtx() else {
            throw IOError(kind: .memory, message: "cannot allocate a compressor", file: nil)
        }
        self.encoder = encoder
        self.decoder = decoder
    }

    deinit {
        ZSTD_freeCCtx(encoder)
        ZSTD_freeDCtx(decoder)
    }

    var codedByteCount: Int { sizes.reduce(0, +) }

    func encode(_ tensors: [TensorBytes]) {
        var number = 0
        for tensor in tensors {
            tensor.withUnsafeBytes { bytes in
                for start in stride(from: 0, to: bytes.count, by: Self.pieceByteCount) {
                    sizes[number] = ZSTD_compressCCtx(
                        encoder, output.address + number * room, room, bytes.baseAddress! + start,
                        min(Self.pieceByteCount, bytes.count - start), 1)
                    number += 1
                }
            }
        }
    }

    func decode(into targets: [AlignedBuffer]) {
        var number = 0
        for target in targets {
            for start in stride(from: 0, to: target.byteCount, by: Self.pieceByteCount) {
                ZSTD_decompressDCtx(
                    decoder, target.address + start, min(Self.pieceByteCount, target.byteCount - start),
                    output.address + number * room, sizes[number])
                number += 1
            }
        }
    }
}
