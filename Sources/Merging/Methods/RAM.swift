// RAM: changes that one expert alone makes stay whole, those that several make are averaged.
//
//     a_i = |τ_i| > ε                 expert i is active in an entry; c = Σ a_i
//     θ = θ₀ + g_i τ_i                where expert i alone is; θ₀ where nobody is
//     θ = θ₀ + Σ a_i τ_i / c          where several are
//     ram          g_i = 1
//     ramplus_tl   g_i = 1 + r · min(ρ_i, α),  ρ_i = active with others / max(active alone, ε), in this tensor
//
// Yuan et al. 2026, arXiv:2601.13572, as mergekit 0.1.5 does it: the paper counts ρ over the whole model. Made for experts whose
// changes are sparse; where all change everything it is the average. ε is absolute: a change of a BF16 number above 0.002 exceeds its
// default whatever it is. One pass; ramplus_tl counts in one before.

import Kernels
import Synchronization
import TensorCore

struct RAM: MergeMethod {
    private static let epsilon = ParameterKey(
        "epsilon", default: 1e-5, range: 0...Double.greatestFiniteMagnitude,
        help: "Changes up to this size count as none.")
    private static let gain = ParameterKey(
        "r", default: 0.1, range: 0...Double.greatestFiniteMagnitude,
        help: "How much a change that one expert alone makes grows with its share of common changes.")
    private static let mostShare = ParameterKey(
        "alpha", default: 0.2, range: 0...Double.greatestFiniteMagnitude,
        help: "The largest number of common changes to one alone that counts.")

    let info: MethodInfo
    private let isRescaling: Bool

    static let plain = RAM(
        "ram", "Changes of one expert alone stay whole, common ones are averaged.", isRescaling: false)
    static let rescaled = RAM(
        "ramplus_tl", "RAM with changes of one expert alone grown by how much it has in common.", isRescaling: true)

    private init(_ name: String, _ summary: String, isRescaling: Bool) {
        self.isRescaling = isRescaling
        info = MethodInfo(
            name: name, summary: summary, paper: "Yuan et al. 2026, arXiv:2601.13572", needsBase: true,
            parameters: [Self.epsilon] + (isRescaling ? [Self.gain, Self.mostShare] : []))
    }

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        var rules: [MergeRule] = []
        for tensor in tensors {
            let arguments = try arguments.forTensor(tensor.name)
            let epsilon = try arguments[Self.epsilon]
            guard isRescaling else {
                rules.append(.elementwise(AloneOrMean(epsilon: epsilon, counts: nil)))
                continue
            }
            let (gain, mostShare) = (try arguments[Self.gain], try arguments[Self.mostShare])
            rules.append(
                .surveyed { _ in
                    let counts = ActivityCounts(
                        expertCount: arguments.expertCount, epsilon: epsilon, gain: gain, mostShare: mostShare)
                    return AloneOrMean(epsilon: epsilon, counts: counts)
                })
        }
        return MergeAssignment(rules: rules)
    }
}

/// 1 for a change that counts. NaN counts, as it has to come through.
@inline(__always)
private func activity<T: ElementwiseScalar>(of change: T, beyond epsilon: T) -> UInt32 {
    abs(change) <= epsilon ? 0 : 1
}

/// In how many entries of a tensor each expert is active alone, and with others.
final class ActivityCounts: MergeSurvey {
    private let expertCount: Int
    private let epsilon: Double
    private let gain: Double
    private let mostShare: Double
    private let counts: Mutex<[(alone: Int, common: Int)]>

    init(expertCount: Int, epsilon: Double, gain: Double, mostShare: Double) {
        self.expertCount = expertCount
        self.epsilon = epsilon
        self.gain = gain
        self.mostShare = mostShare
        counts = Mutex(Array(repeating: (0, 0), count: expertCount))
    }

    var passCount: Int { 1 }
    var byteCount: Int { 0 }
    var scratchByteCount: Int { (expertCount + 2) * mergeBlockCapacity * MemoryLayout<Double>.stride }

    /// What each expert's changes that it makes alone are multiplied by, after the pass.
    var gains: [Double] {
        counts.withLock { counts in
            counts.map { 1 + gain * min(Double($0.common) / max(Double($0.alone), epsilon), mostShare) }
        }
    }

    func observe(_ chunk: MergeChunk, pass: Int) {
        if chunk.needsDouble {
            observe(chunk, in: Double.self)
        } else {
            observe(chunk, in: Float.self)
        }
    }

    private func observe<T: ElementwiseScalar>(_ chunk: MergeChunk, in scalar: T.Type) {
        let epsilon = T(epsilon)
        var found: [(alone: Int, common: Int)] = Array(repeating: (0, 0), count: expertCount)
        withUnsafeTemporaryAllocation(of: T.self, capacity: (expertCount + 2) * mergeBlockCapacity) { memory in
            let memory = memory.baseAddress!
            chunk.forEachBlock { offset, count in
                let block = MergeBlock(
                    chunk: chunk, offset: offset, count: count, result: memory, scratch: memory + mergeBlockCapacity)
                let (base, activeCount) = (block.row(0), block.result)
                block.readBase(into: base)
                activeCount.update(repeating: 0, count: count)
                for expert in 0..<expertCount {
                    let change = block.row(1 + expert)
                    block.readTaskVector(expert, base: base, into: change)
                    for i in 0..<count {
                        change[i] = T(activity(of: change[i], beyond: epsilon))
                        activeCount[i] += change[i]
                    }
                }
                for expert in 0..<expertCount {
                    let isActive = block.row(1 + expert)
                    var (active, alone): (UInt32, UInt32) = (0, 0)
                    for i in 0..<count {
                        let bit: UInt32 = isActive[i] == 0 ? 0 : 1
                        active &+= bit
                        alone &+= activeCount[i] == 1 ? bit : 0
                    }
                    found[expert].alone += Int(alone)
                    found[expert].common += Int(active - alone)
                }
            }
        }
        counts.withLock { [found] counts in
            for expert in counts.indices {
                counts[expert].alone += found[expert].alone
                counts[expert].common += found[expert].common
            }
        }
    }

    func finish(pass: Int) {}
}

/// θ₀ plus the change of the one expert that is active, times its gain, or the mean of several.
struct AloneOrMean: ElementwiseRule {
    let epsilon: Double
    /// Nil when nothing grows.
    let counts: ActivityCounts?

    var survey: (any MergeSurvey)? { counts }
    func scratchRowCount(expertCount: Int) -> Int { counts == nil ? 3 : 4 }
    func merge(_ block: MergeBlock<Float>) { mergeAny(block) }
    func merge(_ block: MergeBlock<Double>) { mergeAny(block) }

    @inline(__always)
    private func mergeAny<T>(_ block: MergeBlock<T>) {
        let count = block.count
        let (base, change, activeCount) = (block.row(0), block.row(1), block.row(2))
        let sum = block.result
        let epsilon = T(epsilon)
        block.readBase(into: base)
        for row in [sum, activeCount] { row.update(repeating: 0, count: count) }
        guard let gains = counts?.gains else {
            // The sum of one is its change.
            for expert in 0..<block.expertCount {
                block.readTaskVector(expert, base: base, into: change)
                T.addActive(change, count: count, beyond: epsilon, to: sum, counting: activeCount)
            }
            for i in 0..<count {
                let change = sum[i] / (activeCount[i] > 1 ? activeCount[i] : 1)
                sum[i] = activeCount[i] > 0 ? base[i] + change : base[i]
            }
            return
        }
        let alone = block.row(3)
        alone.update(repeating: 0, count: count)
        for expert in 0..<block.expertCount {
            block.readTaskVector(expert, base: base, into: change)
            let gain = T(gains[expert])
            for i in 0..<count {
                let bit = activity(of: change[i], beyond: epsilon)
                let own = change[i].masked(by: bit)
                sum[i] += own
                alone[i] += gain * own
                activeCount[i] += T(bit)
            }
        }
        for i in 0..<count {
            let mean = sum[i] / (activeCount[i] > 1 ? activeCount[i] : 1)
            let change = activeCount[i] > 1 ? mean : alone[i]
            sum[i] = activeCount[i] > 0 ? base[i] + change : base[i]
        }
    }
}
