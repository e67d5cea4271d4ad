import Kernels
import TensorCore

extension BenchmarkCase {
    /// One thread, by its processor time; bytes count once where they are read and once where they are written.
    static let cast = BenchmarkCase(
        name: "cast", question: "How fast do numbers change their type, beside a copy of the F32 numbers?",
        options: "[--megabytes 256] [--runs 9]"
    ) { options in
        let largest = try options.number("megabytes", default: 256) << 18
        let runs = try options.number("runs", default: 9)
        for (place, count) in [("in the cache", 2048), ("in memory", largest)] {
            try measure(count: count, repetitions: max(1, (1 << 22) / count), runs: runs, place: place)
        }
    }

    private static func measure(count: Int, repetitions: Int, runs: Int, place: String) throws {
        let numbers = try AlignedBuffer(byteCount: 4 * count)
        let values = numbers.mutableBytes.assumingMemoryBound(to: Float.self)
        let generator = CounterGenerator(seed: 0, stream: 0)
        for i in 0..<count { values[i] = 0.02 * Float(generator.normalPair(UInt64(i)).0) }
        let copy = try AlignedBuffer(byteCount: 4 * count)
        func rate(_ byteCount: Int, _ body: () -> Void) -> String {
            body()
            let series = Series(runs: runs) { for _ in 0..<repetitions { body() } }
            return fixed(Double(byteCount * repetitions) / series.median.processorSeconds / 1e9, 1)
        }
        print("\(place): copy \(rate(8 * count) { copy.mutableBytes.copyMemory(from: numbers.bytes) }) GB/s")
        for dtype in [DType.bf16, .f16, .f8E4M3, .f8E5M2] {
            let narrow = try AlignedBuffer(byteCount: count * dtype.bitWidth / 8)
            let byteCount = numbers.byteCount + narrow.byteCount
            let there = rate(byteCount) { Kernels.cast(numbers.bytes, from: .f32, to: narrow.mutableBytes, as: dtype) }
            let back = rate(byteCount) { Kernels.cast(narrow.bytes, from: dtype, to: copy.mutableBytes, as: .f32) }
            print("\(place): F32 to \(dtype.rawValue) \(there) GB/s, back \(back) GB/s")
        }
    }
}
