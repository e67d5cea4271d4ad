// DELLA: drops entries of the task vectors at random, small ones more often than large ones, and scales up the rest.
//
//     p_k = density − ε + 2 ε (r_k − 1) / (n − 1)    the chance of an entry to stay; r_k its place among the n of its row,
//                                                    by magnitude, the smallest first; ε is `epsilon`
//     τ̂_i = m_i τ_i · ‖τ_i‖₁ / ‖m_i τ_i‖₁            over the tensor
//     della_linear   θ = θ₀ + λ Σ w_i τ̂_i            divided by Σ w_i when `normalize` is true
//     della          the same over the entries whose sign is that of the sum; see `ties`
//
// Deep, Bhardwaj, Poria 2024, "DELLA-merging", arXiv:2406.11617, with the rescaling of mergekit 0.1.5, where the authors divide
// every survivor by its own p_k. A row is a line along the second dimension; tensors of fewer dimensions are one row. In a
// row of one entry p is the density. Of equal magnitudes the earlier counts as smaller. Random numbers as in `dare_linear`.
// Passes: one to rank, one to rescale, one to merge; the masks take a bit for every entry and expert of the tensors at work.

import Kernels
import Synchronization
import TensorCore

struct DELLA: MergeMethod {
    let info: MethodInfo
    private let isElecting: Bool

    static let linear = DELLA(
        "della_linear", "Sum of the task vectors after dropping entries at random, small ones more often.",
        isElecting: false)
    static let ties = DELLA(
        "della", "TIES with entries dropped at random, small ones more often.", isElecting: true)

    private init(_ name: String, _ summary: String, isElecting: Bool) {
        self.isElecting = isElecting
        info = MethodInfo(
            name: name, summary: summary, paper: "Deep, Bhardwaj, Poria 2024, arXiv:2406.11617", needsBase: true,
            parameters: [
                .weight, .density("Probability with which an entry of a task vector is kept, on average."),
                ParameterSpec(
                    "epsilon", .number, default: .number(0.15), range: 0...0.5, perExpert: true,
                    help: "How far the smallest and largest of a row are from the density."),
                .normalize(isElecting), .rescale(true), .lambda, .seed,
            ])
    }

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        try SparseTaskVectorSum.assign(tensors, arguments: arguments, isElecting: isElecting) {
            (tensor, arguments) throws(MergeError) in
            let densities = try arguments.numbers("density")
            let epsilons = try arguments.numbers("epsilon")
            for (density, epsilon) in zip(densities, epsilons) where density > 0 && density < 1 {
                guard density + epsilon < 1, density - epsilon > 0 else {
                    throw MergeError(
                        .badParameter,
                        "density \(brief(density)) ± epsilon \(brief(epsilon)) must lie between 0 and 1",
                        tensor: tensor.name, parameter: "epsilon", hint: "choose a smaller epsilon")
                }
            }
            guard tensor.elementCount <= Int(UInt32.max) else {
                throw MergeError(
                    .memory, "tensor \"\(tensor.name)\" \(tensor.shape) has too many entries to rank",
                    tensor: tensor.name, hint: "use dare_linear or dare_ties")
            }
            return RankedRandomMask(
                densities: densities, epsilons: epsilons, generators: try arguments.generators(for: tensor.name),
                shape: tensor.shape, elementCount: tensor.elementCount)
        }
    }
}

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
        let bits: [[UInt64]]
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
    /// The masks, and what ranks one slab.
    var byteCount: Int {
        let random = densities.indices.count(where: isRandom)
        return random == 0 ? 0 : random * (elementCount / 8 + 8) + 16 * rowLength * stride + 16 * rowLength
    }
    func finish(pass: Int) {}
    func release() { masks.withLock { $0 = [:] } }

    func observe(_ chunk: MergeChunk, pass: Int) {
        if chunk.needsDouble { draw(chunk, in: Double.self) } else { draw(chunk, in: Float.self) }
    }

    /// Draws for the slabs that begin in a chunk; the last of them may reach beyond it.
    private func draw<T: ElementwiseScalar>(_ chunk: MergeChunk, in scalar: T.Type) {
        let slab = rowLength * stride
        let first = (chunk.range.lowerBound + slab - 1) / slab * slab
        let end = (chunk.range.upperBound + slab - 1) / slab * slab
        guard first < end, let base = chunk.base else { return }
        let bits = densities.indices.map { expert -> [UInt64] in
            guard isRandom(expert) else { return [] }
            var bits = [UInt64](repeating: 0, count: (end - first + 63) / 64)
            withUnsafeTemporaryAllocation(of: T.self, capacity: 2 * slab) { memory in
                let values = memory.baseAddress!
                var ranking = RankingOrder(capacity: rowLength)
                for start in Swift.stride(from: first, to: end, by: slab) {
                    chunk.experts[expert].read(from: start, count: slab, into: values)
                    base.read(from: start, count: slab, into: values + slab)
                    subtract(values + slab, from: values, count: slab)
                    for row in 0..<stride {
                        ranking.sort(rowLength) { values[row + $0 * stride].magnitudeKey }
                        draw(expert, ranking: ranking, row: start + row, bits: &bits, origin: first)
                    }
                }
            }
            return bits
        }
        masks.withLock { $0[chunk.number] = SlabMasks(start: first, bits: bits) }
    }

    private func draw(
        _ expert: Int, ranking: borrowing RankingOrder, row: Int, bits: inout [UInt64], origin: Int
    ) {
        let (density, epsilon, generator) = (densities[expert], epsilons[expert], generators[expert])
        for rank in 0..<rowLength {
            let index = row + ranking[rank] * stride
            let place = rowLength > 1 ? Double(rank) / Double(rowLength - 1) : 0.5
            guard generator.uniform(UInt64(index)) < density - epsilon + 2 * epsilon * place else { continue }
            bits[(index - origin) / 64] |= 1 << UInt64((index - origin) % 64)
        }
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
            masks.bits[expert].withUnsafeBufferPointer { bits in
                for i in index..<min(end, start + count) {
                    let bit = i &- masks.start
                    // A choice, not a branch: which way it goes cannot be predicted.
                    values[i &- start] = bits[bit >> 6] >> UInt64(bit & 63) & 1 == 0 ? 0 : values[i &- start]
                }
            }
            index = min(end, start + count)
        }
    }
}

/// The places of numbers in ascending order of their keys; equal keys keep their order.
struct RankingOrder: ~Copyable {
    /// Key above place.
    private var items: [UInt64]
    private var spare: [UInt64]

    init(capacity: Int) {
        items = Array(repeating: 0, count: capacity)
        spare = items
    }

    subscript(rank: Int) -> Int { Int(items[rank] & 0xFFFF_FFFF) }

    /// Sorts by radix, three digits of 11 bits.
    ///
    /// - Precondition: `count` is at most the capacity and below 2^32.
    mutating func sort(_ count: Int, key: (Int) -> UInt32) {
        for place in 0..<count { items[place] = UInt64(key(place)) << 32 | UInt64(place) }
        guard count > 256 else {
            items[..<count].sort()
            return
        }
        for shift in [32, 43, 54] as [UInt64] {
            var starts = [Int](repeating: 0, count: 2048)
            for place in 0..<count { starts[Int(items[place] >> shift & 2047)] += 1 }
            var sum = 0
            for digit in 0..<2048 { (starts[digit], sum) = (sum, sum + starts[digit]) }
            for place in 0..<count {
                let digit = Int(items[place] >> shift & 2047)
                spare[starts[digit]] = items[place]
                starts[digit] += 1
            }
            swap(&items, &spare)
        }
    }
}
