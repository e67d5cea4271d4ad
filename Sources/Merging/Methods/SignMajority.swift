import Kernels
import Synchronization

/// The sign that most entries of the model elect: what an entry takes whose trimmed task vectors cancel out.
///
/// Surveys the model: the trim's passes first, then one that counts elected signs.
final class SignMajority: MergeSurvey {
    private let weights: [Double]
    let trim: MagnitudeTrim
    /// Positive minus negative sums.
    private let balance = Mutex(0)

    init(weights: [Double], trim: MagnitudeTrim) {
        self.weights = weights
        self.trim = trim
    }

    /// Whether plus has the majority; false when there is none.
    var isPositive: Bool { balance.withLock { $0 > 0 } }

    var passCount: Int { trim.passCount + 1 }
    var readingCount: Int { trim.readingCount + 1 }
    func needs(pass: Int) -> Bool { pass == trim.passCount || trim.needs(pass: pass) }
    var byteCount: Int { trim.byteCount }
    var scratchByteCount: Int {
        max(trim.scratchByteCount, (weights.count + 2) * mergeBlockCapacity * MemoryLayout<Double>.stride)
    }

    func observe(_ chunk: MergeChunk, pass: Int) {
        if pass < trim.passCount {
            trim.observe(chunk, pass: pass)
        } else if chunk.needsDouble {
            countSigns(chunk, in: Double.self)
        } else {
            countSigns(chunk, in: Float.self)
        }
    }

    func finish(pass: Int) {
        if pass < trim.passCount { trim.finish(pass: pass) }
    }

    private func countSigns<T: ElementwiseScalar>(_ chunk: MergeChunk, in scalar: T.Type) {
        let rowCount = weights.count + 2
        var chunkBalance = 0
        withUnsafeTemporaryAllocation(of: T.self, capacity: rowCount * mergeBlockCapacity) { memory in
            chunk.forEachBlock { offset, count in
                let block = MergeBlock(
                    chunk: chunk, offset: offset, count: count, result: memory.baseAddress!,
                    scratch: memory.baseAddress! + mergeBlockCapacity)
                let base = block.row(weights.count)
                block.readBase(into: base)
                let votes = weights.indices.map { block.row($0) }
                trim.readVotes(of: block, base: base, weights: weights, into: votes)
                sumUp(votes, into: block.result, count: count)
                let sums = block.result
                var positive: UInt32 = 0
                var negative: UInt32 = 0
                for i in 0..<count {
                    // not zero, not NaN
                    let votes = ~(sums[i].zeroBit | isAtLeast(sums[i].magnitudeKey, 0x7F80_0001)) & 1
                    positive &+= votes & ~sums[i].signBit
                    negative &+= votes & sums[i].signBit
                }
                chunkBalance += Int(positive) - Int(negative)
            }
        }
        balance.withLock { $0 += chunkBalance }
    }
}
