import Checkpoints
import Kernels
import TensorCore

/// A tensor of the base and of every expert, or a chunk of it, in memory or mapped.
struct LoadedTaskVector: Sendable {
    let tensor: Int
    let base: Source
    let experts: [Source]

    /// Elements that are worked on at a time: a row of them is 16 KiB.
    static let blockCapacity = 4096

    /// The tensor in one model, or a chunk of it.
    struct Source: Sendable {
        // Safety: valid while the owner lives, and those of a chunk while it is worked on.
        private nonisolated(unsafe) let bytes: UnsafeRawBufferPointer
        private let owner: TensorBytes?
        let dtype: DType
        /// The first element that is there.
        private let start: Int

        init(_ whole: TensorBytes, _ dtype: DType) {
            bytes = whole.withUnsafeBytes { $0 }
            owner = whole
            self.dtype = dtype
            start = 0
        }

        init(_ part: UnsafeRawBufferPointer, _ dtype: DType, from start: Int) {
            bytes = part
            owner = nil
            self.dtype = dtype
            self.start = start
        }

        func withBytes<R>(_ range: Range<Int>, _ body: (UnsafeRawBufferPointer) -> R) -> R {
            let width = dtype.bitWidth / 8
            let part = bytes[(range.lowerBound - start) * width..<(range.upperBound - start) * width]
            return withExtendedLifetime(owner) { body(UnsafeRawBufferPointer(rebasing: part)) }
        }

        func read<T: ElementwiseScalar>(_ range: Range<Int>, into values: UnsafeMutablePointer<T>) {
            withBytes(range) { T.read($0, dtype, into: UnsafeMutableBufferPointer(start: values, count: range.count)) }
        }
    }

    /// What a run of elements takes in the base and every expert.
    func byteCount(_ range: Range<Int>) -> Int {
        experts.reduce(base.dtype.bitWidth) { $0 + $1.dtype.bitWidth } * range.count / 8
    }

    /// Reads the base, in F32.
    func readBase(_ range: Range<Int>, into values: UnsafeMutablePointer<Float>) {
        base.read(range, into: values)
    }

    /// Reads the task vector of an expert, θ_i − θ₀.
    ///
    /// - Precondition: the range has at most `blockCapacity` elements.
    func readTaskVector(of expert: Int, _ range: Range<Int>, into values: UnsafeMutablePointer<Float>) {
        if base.dtype == .f64 || experts[expert].dtype == .f64 {
            withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * range.count) { memory in
                let wide = memory.baseAddress!
                readDifference(of: expert, range, into: wide, baseValues: wide + range.count)
                for i in 0..<range.count { values[i] = Float(wide[i]) }
            }
        } else {
            withUnsafeTemporaryAllocation(of: Float.self, capacity: range.count) { memory in
                readDifference(of: expert, range, into: values, baseValues: memory.baseAddress!)
            }
        }
    }

    /// The same, given the base in F32; equal infinities make NaN.
    func readTaskVector(
        of expert: Int, _ range: Range<Int>, base values: UnsafePointer<Float>, into row: UnsafeMutablePointer<Float>
    ) {
        guard base.dtype != .f64, experts[expert].dtype != .f64 else {
            return readTaskVector(of: expert, range, into: row)
        }
        guard experts[expert].dtype == .f32 else {
            experts[expert].read(range, into: row)
            return subtract(values, from: row, count: range.count)
        }
        experts[expert].withBytes(range) { subtract(values, fromStored: $0, into: row) }
    }

    /// The task vector of an expert in some runs of elements, one after the other.
    func taskVector(of expert: Int, _ runs: [Range<Int>]) -> [Float] {
        base.dtype == .f64 || experts[expert].dtype == .f64
            ? difference(of: expert, runs, in: Double.self).map { Float($0) }
            : difference(of: expert, runs, in: Float.self)
    }

    private func difference<T: ElementwiseScalar>(of expert: Int, _ runs: [Range<Int>], in type: T.Type) -> [T] {
        var values: [T] = Self.gather(experts[expert], runs)
        let origins: [T] = Self.gather(base, runs)
        values.withUnsafeMutableBufferPointer { values in
            guard let start = values.baseAddress else { return }
            subtract(origins, from: start, count: values.count)
        }
        return values
    }

    private static func gather<T: ElementwiseScalar>(_ source: Source, _ runs: [Range<Int>]) -> [T] {
        [T](unsafeUninitializedCapacity: runs.reduce(0) { $0 + $1.count }) { values, count in
            guard let start = values.baseAddress else { return }
            for run in runs {
                source.read(run, into: start + count)
                count += run.count
            }
        }
    }

    /// The base in F64, for where F32 cannot hold it.
    func wideBase(_ range: Range<Int>) -> [Double] {
        [Double](unsafeUninitializedCapacity: range.count) { buffer, count in
            base.read(range, into: buffer.baseAddress!)
            count = range.count
        }
    }

    /// The task vector of an expert in F64, for where F32 cannot hold it.
    func wideTaskVector(of expert: Int, _ range: Range<Int>) -> [Double] {
        withUnsafeTemporaryAllocation(of: Double.self, capacity: range.count) { memory in
            [Double](unsafeUninitializedCapacity: range.count) { buffer, count in
                readDifference(of: expert, range, into: buffer.baseAddress!, baseValues: memory.baseAddress!)
                count = range.count
            }
        }
    }

    /// NaN and infinities that are stored in the base, then in every expert.
    func countNonFinite(_ range: Range<Int>) -> [NonFiniteCount] {
        ([base] + experts).map { source in
            source.withBytes(range) { Kernels.countNonFinite($0, source.dtype) }
        }
    }

    /// Whether the base or one of some experts stores NaN or an infinity in a run.
    func isSpoilt(_ experts: Range<Int>, _ range: Range<Int>) -> Bool {
        ([base] + self.experts[experts]).contains { source in
            source.withBytes(range) { hasNonFinite($0, source.dtype) }
        }
    }

    private func readDifference<T: ElementwiseScalar>(
        of expert: Int, _ range: Range<Int>, into values: UnsafeMutablePointer<T>, baseValues: UnsafeMutablePointer<T>
    ) {
        experts[expert].read(range, into: values)
        base.read(range, into: baseValues)
        subtract(baseValues, from: values, count: range.count)
    }

    /// Calls `body` with the task vector of an expert, block by block.
    func forEachBlock(
        of expert: Int, _ range: Range<Int>,
        _ body: (_ start: Int, _ count: Int, _ values: UnsafeMutablePointer<Float>) throws -> Void
    ) rethrows {
        try withUnsafeTemporaryAllocation(of: Float.self, capacity: Self.blockCapacity) { memory in
            for start in stride(from: range.lowerBound, to: range.upperBound, by: Self.blockCapacity) {
                let end = min(start + Self.blockCapacity, range.upperBound)
                readTaskVector(of: expert, start..<end, into: memory.baseAddress!)
                try body(start, end - start, memory.baseAddress!)
            }
        }
    }
}
