import Kernels
import Synchronization
import TensorCore

/// Which entries of task vectors stay; a survey, because it may have to see a tensor first.
protocol EntryMask: MergeSurvey {
    /// Whether nothing is ever dropped.
    var isKeepingAll: Bool { get }

    /// Sets the entries that are dropped to zero.
    ///
    /// A mask writes this once, generic over the scalar, and forwards both forms to it: a generic requirement would not be
    /// specialised behind `any EntryMask`.
    ///
    /// - Parameters:
    ///   - values: the task vector of an expert from the flat index `start` on.
    func apply(to values: UnsafeMutablePointer<Float>, of expert: Int, start: Int, count: Int)
    func apply(to values: UnsafeMutablePointer<Double>, of expert: Int, start: Int, count: Int)
}

extension EntryMask {
    /// Chooses the form for a scalar; a choice made at compile time.
    @inline(__always)
    func apply<T: ElementwiseScalar>(toAny values: UnsafeMutablePointer<T>, of expert: Int, start: Int, count: Int) {
        // Safety: the memory is bound to the very type that is named.
        let address = UnsafeMutableRawPointer(values)
        if T.self == Float.self {
            apply(to: address.assumingMemoryBound(to: Float.self), of: expert, start: start, count: count)
        } else {
            precondition(T.self == Double.self, "a scalar that masks do not know")
            apply(to: address.assumingMemoryBound(to: Double.self), of: expert, start: start, count: count)
        }
    }
}

/// Masked task vectors, scaled back to the sum of magnitudes that they had before.
///
/// The scale is ‖τ‖₁ / ‖masked τ‖₁ over the tensor, 1 where either is below 10⁻⁷: mergekit's rescaling. It takes a pass of its
/// own.
final class SparseTaskVectors: MergeSurvey {
    private let mask: any EntryMask
    private let expertCount: Int
    private let isRescaling: Bool
    private let state: Mutex<State>

    private struct State {
        /// By chunk, for each expert: the sums of magnitudes before and after the mask.
        var sums: [Int: [(whole: Double, kept: Double)]] = [:]
        var scales: [Double]
    }

    init(mask: any EntryMask, expertCount: Int, rescale: Bool) {
        self.mask = mask
        self.expertCount = expertCount
        isRescaling = rescale && !mask.isKeepingAll
        state = Mutex(State(scales: Array(repeating: 1, count: expertCount)))
    }

    var passCount: Int { mask.passCount + (isRescaling ? 1 : 0) }
    var readingCount: Int { mask.readingCount + (isRescaling ? 1 : 0) }
    var byteCount: Int { mask.byteCount }
    var scratchByteCount: Int {
        max(mask.scratchByteCount, mergeBlockCapacity * MemoryLayout<Double>.stride)
    }
    func needs(pass: Int) -> Bool { pass >= mask.passCount || mask.needs(pass: pass) }

    /// What the survivors of each expert are multiplied by.
    var scales: [Double] { state.withLock { $0.scales } }

    func observe(_ chunk: MergeChunk, pass: Int) {
        if pass < mask.passCount {
            mask.observe(chunk, pass: pass)
        } else if chunk.needsDouble {
            addUp(chunk, in: Double.self)
        } else {
            addUp(chunk, in: Float.self)
        }
    }

    private func addUp<T: ElementwiseScalar>(_ chunk: MergeChunk, in scalar: T.Type) {
        var sums = Array(repeating: (whole: 0.0, kept: 0.0), count: expertCount)
        withUnsafeTemporaryAllocation(of: T.self, capacity: mergeBlockCapacity) { memory in
            let kept = memory.baseAddress!
            TaskVectorStreams<T>.with(chunk) { streams in
                chunk.forEachBlock { offset, count in
                    for expert in sums.indices {
                        let values = streams.read(expert, from: offset, count: count)
                        sums[expert].whole += magnitudeSum(values, count: count)
                        kept.update(from: values, count: count)
                        mask.apply(toAny: kept, of: expert, start: chunk.range.lowerBound + offset, count: count)
                        sums[expert].kept += magnitudeSum(kept, count: count)
                    }
                }
            }
        }
        state.withLock { [sums] in $0.sums[chunk.number] = sums }
    }

    func finish(pass: Int) {
        guard pass == mask.passCount else { return mask.finish(pass: pass) }
        state.withLock { state in
            let chunks = state.sums.sorted { $0.key < $1.key }.map(\.value)
            for expert in 0..<expertCount {
                let whole = chunks.reduce(0) { $0 + $1[expert].whole }
                let kept = chunks.reduce(0) { $0 + $1[expert].kept }
                state.scales[expert] = whole < 1e-7 || kept < 1e-7 ? 1 : whole / kept
            }
            state.sums = [:]
        }
    }

    /// Reads the masked, scaled and weighted task vectors of a block, one row for each expert.
    @inline(__always)
    func readVotes<T>(
        of block: MergeBlock<T>, base: UnsafePointer<T>, weights: [Double], into votes: [UnsafeMutablePointer<T>]
    ) {
        let scales = scales
        for expert in weights.indices {
            let vote = votes[expert]
            block.readTaskVector(expert, base: base, into: vote)
            mask.apply(toAny: vote, of: expert, start: block.start, count: block.count)
            let factor = T(weights[expert] * scales[expert])
            for i in 0..<block.count { vote[i] = factor * vote[i] }
        }
    }
}

/// Σ |x_i| in F64, in four sums that the compiler can keep side by side.
@inline(__always)
private func magnitudeSum<T: ElementwiseScalar>(_ x: UnsafePointer<T>, count: Int) -> Double {
    var (a, b, c, d) = (0.0, 0.0, 0.0, 0.0)
    var i = 0
    while i + 4 <= count {
        a += Double(abs(x[i]))
        b += Double(abs(x[i + 1]))
        c += Double(abs(x[i + 2]))
        d += Double(abs(x[i + 3]))
        i += 4
    }
    while i < count {
        a += Double(abs(x[i]))
        i += 1
    }
    return (a + b) + (c + d)
}

/// θ₀ + λ Σ of masked task vectors, of all or of those that agree with an elected sign.
struct SparseTaskVectorSum: ElementwiseRule {
    let weights: [Double]
    /// Whether only entries count whose sign is that of the sum; a sum of zero elects plus.
    let isElecting: Bool
    let normalize: Bool
    let lambda: Double
    let taskVectors: SparseTaskVectors

    var survey: (any MergeSurvey)? { taskVectors.passCount > 0 ? taskVectors : nil }
    func scratchRowCount(expertCount: Int) -> Int { expertCount + 3 }
    func merge(_ block: MergeBlock<Float>) { mergeAny(block) }
    func merge(_ block: MergeBlock<Double>) { mergeAny(block) }

    @inline(__always)
    private func mergeAny<T>(_ block: MergeBlock<T>) {
        let count = block.count
        let votes = weights.indices.map { block.row($0) }
        let base = block.row(weights.count)
        let sum = block.row(weights.count + 1)
        block.readBase(into: base)
        taskVectors.readVotes(of: block, base: base, weights: weights, into: votes)
        sumUp(votes, into: sum, count: count)
        if isElecting {
            elect(votes, sum: sum, divisor: block.row(weights.count + 2), into: block.result, count: count)
        } else {
            block.result.update(from: sum, count: count)
            if normalize { divide(block.result, by: T(normalizer(weights.reduce(0, +))), count: count) }
        }
        scale(block.result, by: T(lambda), addingTo: base, unlessNaN: sum, count: count)
    }

    @inline(__always)
    private func elect<T: ElementwiseScalar>(
        _ votes: [UnsafeMutablePointer<T>], sum: UnsafePointer<T>, divisor: UnsafeMutablePointer<T>,
        into result: UnsafeMutablePointer<T>, count: Int
    ) {
        result.update(repeating: 0, count: count)
        divisor.update(repeating: 0, count: count)
        for expert in weights.indices {
            addAgreeing(
                votes[expert], sum: sum, weight: T(weights[expert]), to: result, divisor, count: count)
        }
        guard normalize else { return }
        for i in 0..<count { result[i] = result[i] / (abs(divisor[i]) < 1e-8 ? 1 : divisor[i]) }
    }
}

extension SparseTaskVectorSum {
    /// Makes a mask that has seen nothing yet.
    typealias MaskMaker = @Sendable () -> any EntryMask

    /// Makes the rules of a method that masks task vectors.
    ///
    /// The method declares `weight`, `normalize`, `rescale` and `lambda`, and what `mask` reads.
    static func assign(
        _ tensors: [TensorDescriptor], arguments: MergeArguments, isElecting: Bool,
        _ mask: (TensorDescriptor, MergeArguments) throws(MergeError) -> MaskMaker
    ) throws(MergeError) -> MergeAssignment {
        var rules: [MergeRule] = []
        for tensor in tensors {
            let arguments = try arguments.forTensor(tensor.name)
            rules.append(
                try rule(
                    weights: try arguments[.weight], isElecting: isElecting, arguments: arguments,
                    rescale: try arguments[.rescale], mask(tensor, arguments)))
        }
        return MergeAssignment(rules: rules)
    }

    /// The rule of one tensor.
    static func rule(
        weights: [Double], isElecting: Bool, arguments: MergeArguments, rescale: Bool, _ makeMask: @escaping MaskMaker
    ) throws(MergeError) -> MergeRule {
        let normalize = try arguments[.normalize]
        let lambda = try arguments[.lambda]
        return .surveyed { _ in
            SparseTaskVectorSum(
                weights: weights, isElecting: isElecting, normalize: normalize, lambda: lambda,
                taskVectors: SparseTaskVectors(mask: makeMask(), expertCount: weights.count, rescale: rescale))
        }
    }
}

extension MergeArguments {
    /// The numbers for random choices about one tensor of each expert.
    func generators(for tensor: TensorName) throws(MergeError) -> [CounterGenerator] {
        let seed = UInt64(try self[.seed])
        return (0..<expertCount).map { expert in
            // FNV-1a over the name's bytes and the place of the expert.
            var stream: UInt64 = 0xCBF2_9CE4_8422_2325
            for byte in tensor.text.utf8 { stream = (stream ^ UInt64(byte)) &* 0x100_0000_01B3 }
            return CounterGenerator(seed: seed, stream: (stream ^ UInt64(expert)) &* 0x100_0000_01B3)
        }
    }
}
