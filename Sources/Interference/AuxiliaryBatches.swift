import Kernels
public import Networks
import TensorCore

/// Which auxiliary inputs each step uses.
public struct AuxiliaryBatches: Sendable {
    public enum Order: Sendable, Hashable {
        /// Step s uses rows `s B ... s B + B - 1`, modulo the number of inputs.
        case sequential
        /// Each pass over the inputs has an order of its own; passes follow each other without a gap.
        case shuffled(seed: UInt64)
    }

    public let inputCount: Int
    public let batchSize: Int
    public let order: Order
    /// The order of one pass, and which pass it is.
    private var permutation: [Int] = []
    private var permutedEpoch = -1

    /// Divides inputs into batches.
    ///
    /// - Precondition: both sizes are positive.
    public init(inputCount: Int, batchSize: Int, order: Order) {
        precondition(inputCount > 0 && batchSize > 0, "an empty batch")
        self.inputCount = inputCount
        self.batchSize = batchSize
        self.order = order
    }

    /// The rows of a step, from 0.
    public mutating func rows(step: Int) -> [Int] {
        (0..<batchSize).map { i in
            let (epoch, position) = (step * batchSize + i).quotientAndRemainder(dividingBy: inputCount)
            guard case .shuffled(let seed) = order else { return position }
            if epoch != permutedEpoch { permute(epoch, seed) }
            return permutation[position]
        }
    }

    /// The inputs that some of so many steps use, ascending.
    func usedRows(steps: Int) -> [Int] {
        let (needed, overflow) = steps.multipliedReportingOverflow(by: batchSize)
        // A pass over all inputs, in whatever order.
        if overflow || needed >= inputCount { return Array(0..<inputCount) }
        var batches = self
        return Set((0..<steps).flatMap { batches.rows(step: $0) }).sorted()
    }

    /// Fisher and Yates' shuffle, with the epoch as the stream.
    private mutating func permute(_ epoch: Int, _ seed: UInt64) {
        let generator = CounterGenerator(seed: seed, stream: UInt64(epoch))
        permutation = Array(0..<inputCount)
        for i in stride(from: inputCount - 1, to: 0, by: -1) {
            permutation.swapAt(i, generator.below(i + 1, UInt64(i)))
        }
        permutedEpoch = epoch
    }
}

/// Independent standard normal numbers in the normalised input space, for use where there are no images.
///
/// - Throws: `NetworkError` when the set would be empty or memory is short.
public func noiseImages(
    count: Int, of shape: ImageShape, seed: UInt64, budget: ComputeBudget
) throws -> ImageSet {
    let generator = CounterGenerator(seed: seed, stream: 0x6E6F_6973_65)
    let (total, overflow) = max(count, 0).multipliedReportingOverflow(by: shape.elementCount)
    let values = try FloatBuffer(count: overflow ? .max : total)
    let pairs = 1 << 14
    parallel(count: (total + 2 * pairs - 1) / (2 * pairs), threads: budget.threads) { chunk in
        for pair in chunk * pairs..<min((chunk + 1) * pairs, (total + 1) / 2) {
            let (first, second) = generator.normalPair(UInt64(pair))
            values.pointer[2 * pair] = Float(first)
            if 2 * pair + 1 < total { values.pointer[2 * pair + 1] = Float(second) }
        }
    }
    return try ImageSet(values: values.numbers, count: count, shape: shape)
}
