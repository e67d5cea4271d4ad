// Resolving Interference without training, for tensors that write to the stream that heads read.
//
// To first order a change Y of what such a tensor W [C, n] puts out moves the logits of head j by H_j Y, H_j being the head's weight
// times what lies between: the projection after the stream, if there is one, and the factor of the tensor's output (layer scale), with
// norms left out. With A = H_tᵀ H_t of the own head, B = Σ_{j≠t} H_jᵀ H_j / (N − 1), D the expert's change of W and S = Σ x xᵀ over the
// inputs x of W, the squared losses of logits with a ridge on the correction D' − D are
//
//     tr( (D' − D)ᵀ A (D' − D) S ) + α tr( D'ᵀ B D' S ) + ρ ‖D' − D‖²        preservation, interference, ridge
//
// whose gradient vanishes where
//
//     (A + αB) E S + ρ E = α B D S,   D' = D − E.
//
// With A + αB = Q diag(m) Qᵀ and S = V diag(σ) Vᵀ the equation falls apart into numbers, Qᵀ E V being (αQᵀ B D V)_ik σ_k / (m_i σ_k + ρ).
// Heads' directions move to where the losses balance, and the others stay as the expert has them, as what no head reads cannot interfere
// under these heads. `ridge` is ρ as a share of the mean diagonal of A times that of S.
//
// `gram` takes no inputs: S = 1, and D' = (A + αB + ρ)⁻¹ (A + ρ) D. `ridge` takes S from what the weight is multiplied with in the base on
// auxiliary inputs, and corrects what is put out for such inputs more than for others. In the base, because only the expert's changes
// are known to be small: what changes in front of W adds products of two of them. Tensors that multiply nothing, such as biases and embeddings,
// have S = 1.

import Kernels
public import Networks
public import TensorCore

/// Adapts experts by equations instead of training: those of the tensors that write to the stream that heads read; all others stay as they
/// are.
public struct ClosedFormResolver: Sendable {
    private let network: any Network
    private let base: FloatBuffer
    private let tasks: [TaskHead]
    private let options: ResolverOptions
    private let budget: ComputeBudget
    private let writers: StreamWriters
    /// The weight of every head on the stream, `[classes, width]`.
    private let heads: [Matrix<Double>]
    /// The eigenvectors of S of each weight that has one, by where the weight starts.
    private let moments: [Int: SymmetricEigen]

    /// Projects the heads on the stream, and with the solver `ridge` takes the moments of inputs.
    ///
    /// - Parameters:
    ///   - base: the pretrained parameter vector, of the network's layout.
    ///   - tasks: all tasks, also those whose experts are not adapted.
    ///   - auxiliary: unlabelled inputs; used by the solver `ridge`, which needs them.
    /// - Throws: `NetworkError` when sizes do not fit, `InterferenceError` for an option out of range and for base activations that overflow,
    ///   `IOError` and `DecompositionError` when memory is short.
    public init(
        network: any Network, base: FloatBuffer, tasks: [TaskHead], auxiliary: InputSet?, options: ResolverOptions,
        budget: ComputeBudget
    ) throws {
        try options.validate()
        guard !tasks.isEmpty else { throw InterferenceError(.badOption, "there is no task") }
        for task in tasks { try network.check(task.head, name: task.name) }
        try network.check(parameters: base)
        self.network = network
        self.base = base
        self.tasks = tasks
        self.options = options
        self.budget = budget
        writers = network.streamWriters
        heads = try tasks.map { [writers] in try Self.weight(of: $0.head, on: writers, in: base) }
        guard options.solver == .ridge, let auxiliary else {
            precondition(options.solver != .ridge, "the solver needs auxiliary inputs")
            moments = [:]
            return
        }
        let sums = try ProductMoments(
            network, of: writers.writers.filter(\.isProduct).map(\.entry), inputs: auxiliary, purpose: .inference)
        try sums.addAll(parameters: base, inputs: auxiliary, threads: budget.threads)
        var moments: [Int: SymmetricEigen] = [:]
        for moment in sums.moments {
            do {
                moments[moment.weight.range.lowerBound] = try SymmetricEigen(destroying: moment.sum)
            } catch DecompositionError.notFinite {
                throw InterferenceError(.diverged, "the base's activations on auxiliary inputs overflow")
            }
        }
        self.moments = moments
    }

    /// The bytes that adapting takes at its peak, besides files that are mapped.
    public static func byteCount(_ network: any Network, auxiliary: InputSet?, options: ResolverOptions) -> Int {
        let parameters = 2 * 4 * Double(network.parameterCount)
        let writers = network.streamWriters
        let width = Double(writers.width)
        var (kept, largest, widest) = (0.0, 0.0, 0.0)
        for writer in writers.writers {
            let inputs = Double(writer.entry.range.count) / width
            largest = max(largest, 3 * 8 * width * inputs)
            guard writer.isProduct, options.solver == .ridge else { continue }
            // Moments, which become their eigenvectors, for which LAPACK takes three times as much on the way.
            kept += 8 * inputs * inputs
            widest = max(widest, 24 * inputs * inputs)
        }
        var taking = 0.0
        if options.solver == .ridge, let auxiliary {
            taking = Double(
                ProductMoments.byteCount(
                    network, of: writers.writers.filter(\.isProduct).map(\.entry), inputs: auxiliary,
                    purpose: .inference))
        }
        let total = parameters + max(taking, kept + max(widest, largest)) + 5 * 8 * width * width + 0x1p22
        return total < Double(Int.max) ? Int(total) : .max
    }

    /// Adapts one expert.
    ///
    /// - Parameters:
    ///   - expert: its parameter vector, which is used up: it becomes the adapted one.
    ///   - task: its number among the tasks.
    /// - Throws: `NetworkError` when sizes do not fit, `DecompositionError`, `IOError`.
    public func resolve(expert: FloatBuffer, task: Int) throws {
        precondition(tasks.indices ~= task, "the expert belongs to no task")
        try network.check(parameters: expert)
        // With one head there is nothing to interfere with.
        guard tasks.count > 1 else { return }
        let plain = try LogitGrams(heads, own: task, alpha: options.alpha, scale: nil)
        for writer in writers.writers {
            let scale = writer.scale.map { base.pointer + $0.range.lowerBound }
            let grams = try scale.map { try LogitGrams(heads, own: task, alpha: options.alpha, scale: $0) } ?? plain
            let correction = try grams.correction(
                of: change(of: expert, by: writer), moments: moments[writer.entry.range.lowerBound],
                ridge: options.ridge)
            subtract(correction, from: expert, writer)
        }
    }

    /// What the expert has changed of a tensor, as `[width, inputs]`.
    private func change(of expert: FloatBuffer, by writer: StreamWriters.Writer) throws -> Matrix<Double> {
        let (start, C) = (writer.entry.range.lowerBound, writers.width)
        let n = writer.entry.range.count / C
        let change = try Matrix<Double>(rows: C, columns: n)
        for c in 0..<C {
            for k in 0..<n {
                let place = start + (writer.isProduct ? c * n + k : k * C + c)
                change.pointer[c * n + k] = Double(expert.pointer[place]) - Double(base.pointer[place])
            }
        }
        return change
    }

    private func subtract(_ correction: Matrix<Double>, from expert: FloatBuffer, _ writer: StreamWriters.Writer) {
        let (start, C, n) = (writer.entry.range.lowerBound, correction.rows, correction.columns)
        for c in 0..<C {
            for k in 0..<n {
                let place = start + (writer.isProduct ? c * n + k : k * C + c)
                expert.pointer[place] = Float(Double(expert.pointer[place]) - correction.pointer[c * n + k])
            }
        }
    }

    /// A head's weight on the stream; a head that normalises its feature is taken without the norm.
    private static func weight(
        of head: ClassificationHead, on writers: StreamWriters, in base: FloatBuffer
    ) throws -> Matrix<Double> {
        let weight = try Matrix<Double>(rows: head.classCount, columns: head.width)
        for (place, value) in head.weight.enumerated() { weight.pointer[place] = Double(head.logitScale * value) }
        guard let entry = writers.projection else { return weight }
        let projection = try Matrix<Double>(rows: head.width, columns: writers.width)
        for place in 0..<projection.count {
            projection.pointer[place] = Double(base.pointer[entry.range.lowerBound + place])
        }
        let result = try Matrix<Double>(rows: head.classCount, columns: writers.width)
        multiply(
            result.rows, result.columns, head.width, weight.view, projection.view, into: result.pointer,
            stride: result.columns)
        return result
    }
}
