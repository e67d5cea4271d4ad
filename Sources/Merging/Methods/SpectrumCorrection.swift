// SVC and boosting: change the singular values of what a merge has changed, and leave its directions.
//
//     M = θ − θ₀ = U S Vᵀ                               λ and weights included; N experts
//     svc     s_ri = ⟨u_rᵀ M, u_rᵀ τ_i⟩ / max(‖u_rᵀ τ_i‖², 10⁻¹²),   S_r · N / Σ_i max(α, s_ri)      α = `svc_alpha`
//     boost   max(S_r, S_j),  j the first with S_1 + … + S_j ≥ β Σ S                                β = `boost_beta`
//
// "SVC", 2026, arXiv:2602.05536: s above 1 is a direction that several experts have in common and the sum counts more than once. The
// authors write 0.1 in their README and 1 in their parser. It restores what cancelled as well, by up to 1 / α, and its outcome does not
// depend on λ where λ is large. The authors leave out names with `text_projection` and `embedding`; here, as in fusion_bench, it is for
// every tensor of two dimensions, and for each matrix of a stack of experts. Where a spectrum is flat directions are arbitrary, so methods that make it flat refuse it.
//
// Boosting: "Subspace boosting", 2025, arXiv:2506.16506, with β from 0 to 0.02; β 0 makes all of them the largest, so λ is to be found
// anew. Directions below the numerical rank stay at zero, where the authors' formula lifts arbitrary ones.
//
// Parameters of every method, given a base; first SVC, then boosting, then LiNeS. One decomposition of each matrix in F64 through the
// Gram matrix of the shorter side, and a product for each expert. A matrix that would be merged element by element is held as a whole.

import Kernels
import TensorCore

/// What is done to the singular values of one tensor's change.
struct SpectrumCorrection: Sendable {
    /// Nil where it is not calibrated, or not boosted.
    let alpha: Double?
    let beta: Double?
    /// What the change is multiplied by at last.
    var factor = 1.0

    private static let alpha = ParameterKey<Double?>(
        "svc_alpha", default: nil, range: 1e-6...Double.greatestFiniteMagnitude,
        help: "SVC: least overlap with an expert that counts; 0.1 by the paper.")
    private static let beta = ParameterKey<Double?>(
        "boost_beta", default: nil, range: 0...1,
        help: "Boosting: share of the singular values whose last one is the least.")

    static let parameters: [any MethodParameter] = [alpha, beta]

    /// What arguments ask for; nil when they ask for nothing.
    ///
    /// - Parameter arguments: those of the tensor.
    init?(_ arguments: MergeArguments) throws(MergeError) {
        alpha = try arguments[Self.alpha]
        beta = try arguments[Self.beta]
        if alpha == nil, beta == nil { return nil }
    }

    /// Multiplies the change and nothing else.
    init(factor: Double) {
        alpha = nil
        beta = nil
        self.factor = factor
    }

    private var isSpectral: Bool { alpha != nil || beta != nil }

    /// Bytes that `correct` allocates.
    func workingByteCount(rows: Int, columns: Int) throws(DecompositionError) -> Int {
        guard isSpectral else { return 0 }
        return try EditableSpectrum.workingByteCount(rows: rows, columns: columns) + 4 * rows * columns
    }

    /// Corrects what a merge has moved a matrix of the base by.
    ///
    /// - Throws: `DecompositionError`, `IOError` `io.memory`.
    func correct(_ change: Matrix<Float>, of inputs: MatrixInputs) throws {
        guard isSpectral else {
            let factor = Float(factor)
            for i in 0..<change.count { change.pointer[i] *= factor }
            return
        }
        let spectrum = try EditableSpectrum(of: change)
        var values = spectrum.singularValues
        if let alpha { values = try calibrated(values, of: spectrum, inputs, alpha: alpha) }
        if let beta { values = Self.boosted(values, beta: beta) }
        try spectrum.replace(by: values.map { factor * $0 })
    }

    private func calibrated(
        _ values: [Double], of spectrum: EditableSpectrum, _ inputs: MatrixInputs, alpha: Double
    ) throws -> [Double] {
        let taskVector = try Matrix<Float>(rows: inputs.rows, columns: inputs.columns)
        var sums = values.map { _ in 0.0 }
        for expert in inputs.experts.indices {
            inputs.readTaskVector(of: expert, into: taskVector)
            for (place, share) in try spectrum.shares(of: taskVector).enumerated() {
                sums[place] += max(alpha, share.product / max(share.square, 1e-12))
            }
        }
        return zip(values, sums).map { $0 * Double(inputs.experts.count) / $1 }
    }

    private static func boosted(_ values: [Double], beta: Double) -> [Double] {
        let wanted = beta * values.reduce(0, +)
        var sum = 0.0
        let least = values.sorted(by: >).first {
            sum += $0
            return sum >= wanted
        }
        return values.map { max($0, least ?? 0) }
    }
}

/// A method whose changes have their singular values corrected.
struct SpectrumCorrected: MergeMethod {
    private let method: any MergeMethod
    let info: MethodInfo

    init(_ method: any MergeMethod) {
        self.method = method
        info = method.info.adding(SpectrumCorrection.parameters)
    }

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        let corrections = try Self.corrections(of: tensors, arguments)
        guard corrections.contains(where: { $0 != nil }) else {
            return try method.assign(tensors, arguments: arguments)
        }
        guard arguments.hasBase else {
            throw MergeError(
                .missingBase, "svc_alpha and boost_beta correct what a merge changes in a base, and there is none",
                hint: "name it with --base, or choose a method that works on task vectors")
        }
        if info.flattensSpectra, corrections.contains(where: { $0?.alpha != nil }) {
            throw MergeError(
                .badParameter,
                "method \"\(info.name)\" makes all singular values equal, so that svc_alpha has no directions to go by",
                parameter: "svc_alpha", hint: "choose another method, such as task_arithmetic or tsv_m")
        }
        return try method.assign(tensors, arguments: arguments).correcting(corrections)
    }

    /// For each tensor what is done to the spectrum of its change; nil for nothing, and where it is no matrix.
    static func corrections(
        of tensors: [TensorDescriptor], _ arguments: MergeArguments
    ) throws(MergeError) -> [SpectrumCorrection?] {
        var corrections: [SpectrumCorrection?] = []
        for tensor in tensors {
            corrections.append(tensor.matrices != nil ? try SpectrumCorrection(arguments.forTensor(tensor.name)) : nil)
        }
        return corrections
    }
}
