import Kernels
import Networks
import TensorCore

/// The logits that students are held to, over the auxiliary inputs that a run uses.
///
/// Teachers never change: those of the base under all heads are computed once for all experts, and those of an expert
/// under its own head once for all its steps. Only logits are kept, `classes` numbers an input.
struct TeacherOutputs: Sendable {
    /// The inputs that are used, ascending.
    let rows: [Int]
    /// The place of each input in `rows`; -1 for an input that is not used.
    private let places: [Int]
    /// The base under every head, `[rows, K]`.
    let base: FloatBuffer
    /// The inputs computed at once: as many as a piece of the student's has, so that products of the same size give the
    /// same bits and a student that equals its teacher is at distance 0.
    private let chunkSize: Int

    init(
        _ network: any Network, base parameters: FloatBuffer, bank: HeadBank, auxiliary: InputSet,
        rows: [Int], chunkSize: Int, budget: ComputeBudget
    ) throws {
        var places = [Int](repeating: -1, count: auxiliary.count)
        for (place, row) in rows.enumerated() { places[row] = place }
        self.places = places
        self.rows = rows
        self.chunkSize = chunkSize
        base = try Self.logits(network, parameters, bank, auxiliary, rows, chunkSize, budget)
    }

    /// The rows of the logits that belong to inputs.
    func slots(of inputs: [Int]) -> [Int] { inputs.map { places[$0] } }

    /// The outputs of an expert under one head, `[rows, classes]`.
    func outputs(
        of expert: FloatBuffer, under head: ClassificationHead, _ network: any Network, auxiliary: InputSet,
        budget: ComputeBudget
    ) throws -> FloatBuffer {
        try Self.logits(network, expert, HeadBank([head]), auxiliary, rows, chunkSize, budget)
    }

    private static func logits(
        _ network: any Network, _ parameters: FloatBuffer, _ bank: HeadBank, _ inputs: InputSet, _ rows: [Int],
        _ chunkSize: Int, _ budget: ComputeBudget
    ) throws -> FloatBuffer {
        let features = try network.features(
            parameters: parameters, inputs: inputs, rows: rows, chunkSize: chunkSize, budget: budget)
        let logits = bank.logits(features: features)
        let buffer = try FloatBuffer(count: logits.count)
        _ = buffer.values.update(from: logits)
        return buffer
    }
}
