import Kernels
import Networks
import TensorCore

/// Computes the logits that students are held to, over the auxiliary inputs that a run uses.
///
/// Teachers never change: what they say is computed once and kept, `classes` numbers an input.
struct TeacherOutputs: Sendable {
    /// The inputs that are used, ascending.
    let rows: [Int]
    /// The place of each input in `rows`; -1 for an input that is not used.
    private let places: [Int]
    private let network: any Network
    private let auxiliary: InputSet
    /// The inputs computed at once: as many as a piece of the student's has, so that products of the same size give the
    /// same bits and a student that equals its teacher is at distance 0.
    private let chunkSize: Int
    private let budget: ComputeBudget

    init(_ network: any Network, auxiliary: InputSet, rows: [Int], chunkSize: Int, budget: ComputeBudget) {
        var places = [Int](repeating: -1, count: auxiliary.count)
        for (place, row) in rows.enumerated() { places[row] = place }
        self.places = places
        self.rows = rows
        self.network = network
        self.auxiliary = auxiliary
        self.chunkSize = chunkSize
        self.budget = budget
    }

    /// The rows of the logits that belong to inputs.
    func slots(of inputs: [Int]) -> [Int] { inputs.map { places[$0] } }

    /// What a model says under heads, `[rows, K]`.
    ///
    /// - Throws: `NetworkError` and `IOError` when memory is short.
    func logits(of parameters: FloatBuffer, under bank: HeadBank) throws -> FloatBuffer {
        let features = try network.features(
            parameters: parameters, inputs: auxiliary, rows: rows, chunkSize: chunkSize, budget: budget)
        let logits = bank.logits(features: features)
        let buffer = try FloatBuffer(count: logits.count)
        _ = buffer.values.update(from: logits)
        return buffer
    }
}
