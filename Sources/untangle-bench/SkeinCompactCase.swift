import CZstd
import Checkpoints
import Glibc
import Kernels
import SystemPackage
import TensorCore

extension BenchmarkCase {
    /// The data that a coder by planes alone makes too large, as files, beside zstd at a high level.
    static let skeinCompact = BenchmarkCase(
        name: "skein-compact",
        question: "What do small tensors, zeros, repeated rows and a narrower base take, beside zstd -19 of the file?",
        options: "[--megabytes 8] [--level 19] [--threads N] [--folder /tmp]"
    ) { options in
        let folder = try SyntheticFolder(options)
        let byteCount = try options.number("megabytes", default: 8) << 20
        let level = Int32(try options.number("level", default: 19))
        let threads = try options.budget().threads
        for subject in SkeinSubject.all(byteCount: byteCount) {
            let source = try subject.write(to: folder.file(subject.name + ".safetensors"), as: subject.dtype)
            let store = try TensorStore(opening: source)
            var settings = SkeinOptions(threads: threads)
            if let base = subject.base {
                settings.base = try TensorStore(
                    opening: subject.write(to: folder.file(subject.name + ".base.safetensors"), as: base))
            }
            let path = folder.file(subject.name + ".skein")
            var size = 0
            let writing = try Measurement { size = try convert(store, to: path, settings, threads: threads) }
            let reader = try SkeinReader(
                opening: path, options: ReadOptions(base: settings.base?.path, threads: threads))
            let reading = try Measurement {
                for index in reader.descriptors.indices { _ = try reader.bytes(of: index) }
            }
            let plain = try compressedByteCount(source, level: level)
            let total = store.descriptors.reduce(0) { $0 + $1.byteCount }
            func rate(_ time: Measurement) -> String { fixed(1e-9 * Double(total) / time.wallSeconds, 2) }
            func share(_ count: Int) -> String { fixed(100 * Double(count) / Double(plain.byteCount), 1) + " %" }
            print(
                "\(subject.name): skein \(share(size)), zstd -\(level) \(share(plain.compressed)); "
                    + "written \(rate(writing)) GB/s, read \(rate(reading)) GB/s")
        }
    }

    private static func convert(
        _ store: TensorStore, to path: FilePath, _ settings: SkeinOptions, threads: Int
    ) throws -> Int {
        let writer = try CheckpointFormat.makeWriter(
            .skein, at: path, declaring: store.descriptors,
            options: WriteOptions(force: true, sync: false, skein: settings))
        // In pieces of a chunk, by as many threads.
        let pieces = store.descriptors.indices.flatMap { tensor in
            stride(from: 0, to: store.descriptors[tensor].byteCount, by: settings.chunkByteCount).map { (tensor, $0) }
        }
        try parallel(count: pieces.count, threads: threads) { number in
            let (tensor, start) = pieces[number]
            try store.reader.bytes(of: tensor).withUnsafeBytes { bytes in
                let part = bytes[start..<min(bytes.count, start + settings.chunkByteCount)]
                try writer.write(UnsafeRawBufferPointer(rebasing: part), tensor: tensor, at: start)
            }
        }
        return try writer.finish().byteCount
    }

    /// The size of a file and of its zstd frame.
    private static func compressedByteCount(
        _ path: FilePath, level: Int32
    ) throws -> (byteCount: Int, compressed: Int) {
        let file = try MappedFile(path)
        let room = ZSTD_compressBound(file.bytes.count)
        let target = try AlignedBuffer(byteCount: room, isZeroed: false)
        let size = ZSTD_compress(target.address, room, file.bytes.baseAddress, file.bytes.count, level)
        return (file.bytes.count, size)
    }
}

/// One checkpoint of a kind that takes more than plane by plane.
private struct SkeinSubject {
    let name: String
    let dtype: DType
    /// The type of the base, which holds the same numbers before a small change.
    var base: DType?
    let shapes: [Shape]
    /// The number at an element of a tensor.
    let value: (_ tensor: Int, _ element: Int) -> Float

    static func all(byteCount: Int) -> [SkeinSubject] {
        let random = CounterGenerator(seed: 1, stream: 0)
        /// A sum of four uniform numbers, close to normal.
        func weight(_ number: Int) -> Float {
            (0..<4).reduce(0) {
                $0 + (Float(random.below(1 << 20, UInt64(4 * number + $1))) / Float(1 << 20) - 0.5) * 0.035
            }
        }
        let count = byteCount / 2
        let width = 768
        let rows = count / width
        return [
            SkeinSubject(
                name: "small tensors", dtype: .bf16, shapes: Array(repeating: [128], count: count / 128),
                value: { weight($0 * 128 + $1) }),
            SkeinSubject(
                name: "nine zeros in ten", dtype: .bf16, shapes: [[count / 1024, 1024]],
                value: { random.below(10, UInt64(1 << 40 + $1)) == 0 ? weight($1) : 0 }),
            SkeinSubject(
                name: "repeated rows", dtype: .bf16, shapes: [[rows, width]],
                value: { weight(Int(random.below(rows / 16, UInt64(1 << 41 + $1 / width))) * width + $1 % width) }),
            SkeinSubject(
                name: "narrower base", dtype: .f32, base: .bf16, shapes: [[count / 2048, 1024]],
                value: { _, element in
                    // What BF16 holds, and in F32 a step of a fine-tune.
                    Float(bitPattern: weight(element).bitPattern & 0xFFFF_0000) + 1e-3 * weight(element + 1 << 30)
                }),
        ]
    }

    func write(to path: FilePath, as dtype: DType) throws -> FilePath {
        let descriptors = try shapes.enumerated().map {
            try TensorDescriptor(name: TensorName("layers.\($0).weight"), dtype: dtype, shape: $1)
        }
        let writer = try CheckpointFormat.makeWriter(
            .safetensors, at: path, declaring: descriptors, options: WriteOptions(force: true, sync: false))
        for (tensor, descriptor) in descriptors.enumerated() {
            let values = try FloatBuffer(count: descriptor.elementCount)
            let bytes = try AlignedBuffer(byteCount: descriptor.byteCount)
            for element in 0..<descriptor.elementCount { values.pointer[element] = value(tensor, element) }
            narrow(UnsafeBufferPointer(values.values), into: bytes.mutableBytes, as: dtype)
            try writer.write(bytes.bytes, tensor: tensor, at: 0)
        }
        _ = try writer.finish()
        return path
    }
}
