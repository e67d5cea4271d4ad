public import Kernels
public import TensorCore

/// The second moments of what weights of a network are multiplied with, `Σ x xᵀ` over the rows `x` of inputs, added up in F64.
///
/// Inputs are taken a few at a time, in their order; neither the number of threads nor a pause in between changes a bit.
public final class ProductMoments {
    /// Of one weight.
    public struct Moment {
        public let weight: ParameterLayout.Entry
        /// `[inputs of the weight, inputs of the weight]`; the lower half is empty until all is added up.
        public let sum: Matrix<Double>
        /// The rows that were added up: tokens without padding, or inputs where a weight reads one row of each.
        public fileprivate(set) var rowCount = 0
    }

    /// In the order of the weights.
    public private(set) var moments: [Moment]
    private let network: any Network
    private let workspace: any NetworkWorkspace
    private let places: [Int: Int]
    private let panels: [Int: Matrix<Double>]

    /// The rows that are widened at a time.
    private static let panelRowCount = 512

    /// How many inputs go through the network at a time.
    public let chunkSize: Int

    private static func chunkSize(_ network: any Network, of inputs: InputSet) -> Int {
        max(1, min(32, 2048 / network.tokenCount(of: inputs)))
    }

    /// The width of what a weight is multiplied with.
    public static func width(of weight: ParameterLayout.Entry) -> Int {
        weight.range.count / max(1, weight.shape.dims.first ?? 1)
    }

    /// The bytes that the sums of some weights take, and what adding up takes beside them.
    public static func byteCount(
        _ network: any Network, of weights: [ParameterLayout.Entry], inputs: InputSet, purpose: WorkspacePurpose
    ) -> Int {
        var (sums, widths) = (0.0, Set<Int>())
        for weight in weights {
            let width = width(of: weight)
            sums += 8 * Double(width) * Double(width)
            widths.insert(width)
        }
        let panels = widths.reduce(0) { $0 + 8 * Double(panelRowCount) * Double($1) }
        let activations =
            4
            * Double(
                network.activationCount(
                    capacity: chunkSize(network, of: inputs), tokenCount: network.tokenCount(of: inputs),
                    purpose: purpose))
        let total = sums + panels + activations
        return total < Double(Int.max) ? Int(total) : .max
    }

    /// Begins with sums of nothing.
    ///
    /// - Parameters:
    ///   - weights: of `network.observedWeights`.
    ///   - inputs: of the kind and size that will be added.
    ///   - purpose: `observation` adds up all rows that the layers have as a model's library computes them, `inference` those alone that
    ///     features depend on.
    /// - Throws: `NetworkError`, `IOError`, `DecompositionError` when memory is short.
    public init(
        _ network: any Network, of weights: [ParameterLayout.Entry], inputs: InputSet, purpose: WorkspacePurpose
    ) throws {
        self.network = network
        moments = try weights.map { weight in
            let width = Self.width(of: weight)
            return Moment(weight: weight, sum: try Matrix(rows: width, columns: width))
        }
        places = Dictionary(
            uniqueKeysWithValues: weights.enumerated().map { ($0.element.range.lowerBound, $0.offset) })
        panels = try Dictionary(
            uniqueKeysWithValues: Set(weights.map(Self.width)).map {
                ($0, try Matrix(rows: Self.panelRowCount, columns: $0))
            })
        chunkSize = Self.chunkSize(network, of: inputs)
        workspace = try network.workspace(
            capacity: chunkSize, tokenCount: network.tokenCount(of: inputs), purpose: purpose)
    }

    /// Adds what some inputs make.
    ///
    /// - Precondition: at most `chunkSize` rows, all inside the set.
    public func add(
        parameters: FloatBuffer, _ inputs: InputSet, rows: UnsafeBufferPointer<Int>, threads: Int
    ) {
        workspace.productObserver = { [self] weight, x, count in
            guard let place = places[weight], let panel = panels[moments[place].sum.rows] else { return }
            addMoments(of: x, count: count, to: moments[place].sum, panel: panel)
            moments[place].rowCount += count
        }
        defer { workspace.productObserver = nil }
        Team.lead(of: threads) { _ = workspace.forward(parameters.pointer, inputs, rows: rows) }
    }

    /// Adds what all inputs of a set make, and completes the sums.
    ///
    /// - Throws: `NetworkError` when sizes do not fit; what reading a stream throws.
    public func addAll(parameters: FloatBuffer, inputs: InputSet, threads: Int) throws {
        try network.check(parameters: parameters)
        try network.input.check(inputs)
        for start in stride(from: 0, to: inputs.count, by: chunkSize) {
            let chunk = try inputs.loaded(Array(start..<min(inputs.count, start + chunkSize)))
            chunk.rows.withUnsafeBufferPointer {
                add(parameters: parameters, chunk.inputs, rows: $0, threads: threads)
            }
        }
        complete()
    }

    /// Fills the lower halves of the sums.
    public func complete() { for moment in moments { mirrorUpperHalf(of: moment.sum) } }

    /// Goes on from sums that were taken before.
    ///
    /// - Precondition: one count for every weight.
    public func restore(rowCounts: [Int]) {
        precondition(rowCounts.count == moments.count, "counts of other weights")
        for place in moments.indices { moments[place].rowCount = rowCounts[place] }
    }
}
