import Glibc
import Kernels
import TensorCore

/// A run of elements of one tensor in every model. Its borders depend on the tensor alone, never on threads or memory.
package struct MergeChunk {
    /// Elements in a chunk; the last one of a tensor may be shorter.
    static let capacity = 1 << 20

    /// The tensor's place in the merge, and its piece of it.
    let tensor: Int
    let number: Int
    /// The elements' flat indices in the tensor.
    let range: Range<Int>
    /// Nil when the merge has no base.
    let base: MergeSource?
    let experts: [MergeSource]

    var count: Int { range.count }

    /// Whether one of the models holds the tensor in F64, so that it is merged in F64.
    var needsDouble: Bool { base?.dtype == .f64 || experts.contains { $0.dtype == .f64 } }

    /// Asks the kernel to read the chunk from the disk.
    func prefetch() {
        base?.prefetch(range)
        for expert in experts { expert.prefetch(range) }
    }

    /// Calls `body` with the offset from the chunk's start and the length of one block after the other.
    func forEachBlock(_ body: (_ offset: Int, _ count: Int) -> Void) {
        var offset = 0
        while offset < count {
            let length = min(mergeBlockCapacity, count - offset)
            body(offset, length)
            offset += length
        }
    }
}

/// Elements that are worked on at a time: a row of them, in F32, is 8 KiB, so that a few rows stay in the cache.
let mergeBlockCapacity = 2048

/// The stored elements of one tensor in one model.
struct MergeSource {
    // Safety: the executor keeps the tensor's bytes alive while a chunk of it is worked on.
    let bytes: UnsafeRawBufferPointer
    let dtype: DType

    /// Asks the kernel to read elements ahead of their use; does nothing for bytes that are in memory of their own.
    ///
    /// Advice on pages that are there already costs a fifth of a linear merge, so three of them are looked at first.
    func prefetch(_ range: Range<Int>) {
        guard let start = bytes.baseAddress, !range.isEmpty else { return }
        let width = dtype.bitWidth / 8
        let first = start + range.lowerBound * width
        // Advice begins at a page; the page that holds the first byte belongs to the same mapping.
        let skew = Int(bitPattern: first) % Self.pageByteCount
        let origin = UnsafeMutableRawPointer(mutating: first - skew)
        let byteCount = skew + range.count * width
        let lastPage = (byteCount - 1) / Self.pageByteCount
        let isResident = [0, lastPage / 2, lastPage].allSatisfy { page in
            var state: UInt8 = 0
            return mincore(origin + page * Self.pageByteCount, 1, &state) == 0 && state & 1 == 1
        }
        if !isResident { madvise(origin, byteCount, MADV_WILLNEED) }
    }

    private static let pageByteCount = Int(sysconf(Int32(_SC_PAGESIZE)))

    /// Reads elements from a flat index on.
    func read<T: ElementwiseScalar>(from index: Int, count: Int, into destination: UnsafeMutablePointer<T>) {
        T.read(
            elements(from: index, count: count), dtype,
            into: UnsafeMutableBufferPointer(start: destination, count: count))
    }

    /// Whether NaN or an infinity is among elements from a flat index on.
    func hasNonFinite(from index: Int, count: Int) -> Bool {
        Kernels.hasNonFinite(elements(from: index, count: count), dtype)
    }

    /// Counts NaN and infinities from a flat index on.
    func countNonFinite(from index: Int, count: Int) -> NonFiniteCount {
        Kernels.countNonFinite(elements(from: index, count: count), dtype)
    }

    /// Reads elements from a flat index on, and adds them to what others add up to.
    func read<T: ElementwiseScalar>(
        from index: Int, count: Int, into destination: UnsafeMutablePointer<T>, adding sums: inout NormSums
    ) {
        sums.read(
            elements(from: index, count: count), dtype,
            into: UnsafeMutableBufferPointer(start: destination, count: count))
    }

    private func elements(from index: Int, count: Int) -> UnsafeRawBufferPointer {
        let width = dtype.bitWidth / 8
        return UnsafeRawBufferPointer(rebasing: bytes[index * width..<(index + count) * width])
    }
}

/// A run of elements short enough for the cache, and where its result goes.
package struct MergeBlock<Scalar: ElementwiseScalar> {
    let chunk: MergeChunk
    /// From the start of the chunk.
    let offset: Int
    package let count: Int
    /// `count` numbers to fill.
    package let result: UnsafeMutablePointer<Scalar>
    let scratch: UnsafeMutablePointer<Scalar>
    /// For every model, the base first, if there is one, what looks at its elements as they are read; nil while a survey reads
    /// what is merged later.
    var tallies: UnsafeMutablePointer<InputTally>?

    /// The flat index of the first element in its tensor.
    var start: Int { chunk.range.lowerBound + offset }
    package var expertCount: Int { chunk.experts.count }

    /// A row of scratch memory with unspecified contents.
    package func row(_ index: Int) -> UnsafeMutablePointer<Scalar> { scratch + index * mergeBlockCapacity }

    package func readExpert(_ expert: Int, into row: UnsafeMutablePointer<Scalar>) {
        read(chunk.experts[expert], model: expert + (chunk.base == nil ? 0 : 1), into: row)
    }

    private func read(_ source: MergeSource, model: Int, into row: UnsafeMutablePointer<Scalar>) {
        if let tallies {
            tallies[model].read(source, from: start, count: count, into: row)
        } else {
            source.read(from: start, count: count, into: row)
        }
    }

    /// Reads the task vector θ_i − θ₀ of an expert; equal infinities differ by nothing.
    @inline(__always)
    package func readTaskVector(_ expert: Int, base: UnsafePointer<Scalar>, into row: UnsafeMutablePointer<Scalar>) {
        readExpert(expert, into: row)
        if Scalar.subtract(base, from: row, count: count) {
            readExpert(expert, into: row)
            subtract(base, from: row, count: count)
        }
    }

    /// Reads the base's values of the block.
    ///
    /// - Precondition: the method needs a base.
    package func readBase(into row: UnsafeMutablePointer<Scalar>) {
        guard let base = chunk.base else { preconditionFailure("the plan has no base") }
        read(base, model: 0, into: row)
    }
}
