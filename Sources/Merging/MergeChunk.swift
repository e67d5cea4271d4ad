import Checkpoints
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

/// The elements of one tensor in one model.
struct MergeSource {
    let dtype: DType
    private let elements: Elements

    private enum Elements {
        // Safety: the executor keeps the tensor's bytes alive while a chunk of it is worked on.
        case stored(UnsafeRawBufferPointer)
        /// Elements that are made as they are read, for a chunk alone.
        case made(MadeElements)
    }

    /// Elements that lie in memory.
    init(bytes: UnsafeRawBufferPointer, dtype: DType) {
        self.dtype = dtype
        elements = .stored(bytes)
    }

    /// Elements that are made as they are read.
    ///
    /// - Parameter failure: gets to know of an error, after which the elements are zero.
    init(making window: TensorWindow, dtype: DType, failure: ReadFailure) {
        self.dtype = dtype
        elements = .made(MadeElements(window: window, failure: failure))
    }

    /// Asks the kernel to read elements ahead of their use; does nothing for bytes that are in memory of their own.
    ///
    /// Advice on pages that are there already costs a fifth of a linear merge, so three of them are looked at first.
    func prefetch(_ range: Range<Int>) {
        guard case .stored(let bytes) = elements, let start = bytes.baseAddress, !range.isEmpty else { return }
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
        withElements(from: index, count: count) {
            T.read($0, dtype, into: UnsafeMutableBufferPointer(start: destination, count: count))
        }
    }

    /// Whether NaN or an infinity is among elements from a flat index on, which were read into a row.
    func hasNonFinite<T: ElementwiseScalar>(from index: Int, count: Int, in row: UnsafePointer<T>) -> Bool {
        // Narrow types are looked at where they lie, since they are fewer bytes.
        guard case .stored = elements else { return T.hasNonFinite(row, count: count) }
        return withElements(from: index, count: count) { Kernels.hasNonFinite($0, dtype) }
    }

    /// Counts NaN and infinities from a flat index on.
    func countNonFinite(from index: Int, count: Int) -> NonFiniteCount {
        withElements(from: index, count: count) { Kernels.countNonFinite($0, dtype) }
    }

    /// Reads elements from a flat index on, and adds them to what others add up to.
    func read<T: ElementwiseScalar>(
        from index: Int, count: Int, into destination: UnsafeMutablePointer<T>, adding sums: inout NormSums
    ) {
        withElements(from: index, count: count) {
            sums.read($0, dtype, into: UnsafeMutableBufferPointer(start: destination, count: count))
        }
    }

    private func withElements<R>(from index: Int, count: Int, _ body: (UnsafeRawBufferPointer) -> R) -> R {
        let width = dtype.bitWidth / 8
        let range = index * width..<(index + count) * width
        switch elements {
        case .stored(let bytes): return body(UnsafeRawBufferPointer(rebasing: bytes[range]))
        case .made(let made): return made.withBytes(range, body)
        }
    }
}

/// A window on a tensor that is made as it is read, and what gets to know of an error, after which the elements are zero.
private final class MadeElements {
    private let window: TensorWindow
    private let failure: ReadFailure

    init(window: TensorWindow, failure: ReadFailure) { (self.window, self.failure) = (window, failure) }

    func withBytes<R>(_ range: Range<Int>, _ body: (UnsafeRawBufferPointer) -> R) -> R {
        do { return try window.withBytes(range) { body($0) } } catch {
            failure.note(error)
            return [UInt8](repeating: 0, count: range.count).withUnsafeBytes(body)
        }
    }
}

/// The first error of reading where rules, which cannot fail, read.
final class ReadFailure {
    private var error: (any Error)?

    func note(_ error: any Error) { self.error = self.error ?? error }

    func check() throws { if let error { throw error } }
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
