import Kernels
import Synchronization
import TensorCore

/// Keeps entries with a probability that rises with their rank in their row.
final class RankedRandomMask: EntryMask {
    private let densities: [Double]
    private let epsilons: [Double]
    private let generators: [CounterGenerator]
    private let elementCount: Int
    /// Entries of a row, and from one entry of a row to the next: `stride` rows lie interleaved in a slab.
    private let rowLength: Int
    private let stride: Int
    private let masks: Mutex<[Int: SlabMasks]>

    /// What was drawn for the slabs that begin in one chunk.
    private struct SlabMasks {
        let start: Int
        /// For each expert a bit for every entry; empty where all or none are kept.
        let bits: [[UInt8]]
    }

    init(
        densities: [Double], epsilons: [Double], generators: [CounterGenerator], shape: Shape, elementCount: Int
    ) {
        self.densities = densities
        self.epsilons = epsilons
        self.generators = generators
        self.elementCount = elementCount
        rowLength = max(shape.rank < 2 ? elementCount : shape.dims[1], 1)
        stride = max(shape.rank < 2 ? 1 : shape.dims.dropFirst(2).reduce(1, *), 1)
        masks = Mutex([:])
    }

    private func isRandom(_ expert: Int) -> Bool { densities[expert] > 0 && densities[expert] < 1 }

    var isKeepingAll: Bool { densities.allSatisfy { $0 >= 1 } }
    var passCount: Int { densities.indices.contains(where: isRandom) ? 1 : 0 }
    var byteCount: Int { densities.indices.count(where: isRandom) * (elementCount / 8 + 8) }
    /// The widest slab in F64, its base, and what ranks a row.
    var scratchByteCount: Int { 16 * rowLength * stride + RankedRow.byteCount(length: rowLength) }
    func finish(pass: Int) {}

    func observe(_ chunk: MergeChunk, pass: Int) {
        if chunk.needsDouble { draw(chunk, in: Double.self) } else { draw(chunk, in: Float.self) }
    }

    /// Draws for the slabs that begin in a chunk; the last of them may reach beyond it.
    private func draw<T: ElementwiseScalar>(_ chunk: MergeChunk, in scalar: T.Type) {
        let slab = rowLength * stride
        let first = (chunk.range.lowerBound + slab - 1) / slab * slab
        let end = (chunk.range.upperBound + slab - 1) / slab * slab
        guard first < end, let base = chunk.base else { return }
        let bits = densities.indices.map { expert -> [UInt8] in
            guard isRandom(expert) else { return [] }
            var bytes = [UInt8](repeating: 0, count: (end - first + 7) / 8)
            var row = RankedRow(length: rowLength, density: densities[expert], epsilon: epsilons[expert])
            bytes.withUnsafeMutableBufferPointer { bytes in
                withUnsafeTemporaryAllocation(of: T.self, capacity: 2 * slab) { memory in
                    let values = memory.baseAddress!
                    for start in Swift.stride(from: first, to: end, by: slab) {
                        chunk.experts[expert].read(from: start, count: slab, into: values)
                        base.read(from: start, count: slab, into: values + slab)
                        subtract(values + slab, from: values, count: slab)
                        for place in 0..<stride {
                            row.draw(
                                values + place, stride: stride, index: start + place, generators[expert],
                                into: bytes.baseAddress!, origin: first)
                        }
                    }
                }
            }
            return bytes
        }
        masks.withLock { $0[chunk.number] = SlabMasks(start: first, bits: bits) }
    }

    func apply(to values: UnsafeMutablePointer<Float>, of expert: Int, start: Int, count: Int) {
        drop(from: values, of: expert, start: start, count: count)
    }
    func apply(to values: UnsafeMutablePointer<Double>, of expert: Int, start: Int, count: Int) {
        drop(from: values, of: expert, start: start, count: count)
    }

    @inline(__always)
    private func drop<T: ElementwiseScalar>(
        from values: UnsafeMutablePointer<T>, of expert: Int, start: Int, count: Int
    ) {
        guard densities[expert] < 1 else { return }
        guard isRandom(expert) else { return values.update(repeating: 0, count: count) }
        let slab = rowLength * stride
        var index = start
        while index < start + count {
            let chunk = index / slab * slab / MergeChunk.capacity
            guard let masks = masks.withLock({ $0[chunk] }) else { preconditionFailure("a slab was not surveyed") }
            // The slabs that begin in the chunk end where the first one of a later chunk begins.
            let end = ((chunk + 1) * MergeChunk.capacity + slab - 1) / slab * slab
            let stop = min(end, start + count)
            masks.bits[expert].withUnsafeBufferPointer { bits in
                keep(
                    values + (index - start), whereSet: bits.baseAddress!, from: index - masks.start,
                    count: stop - index)
            }
            index = min(end, start + count)
        }
    }
}
