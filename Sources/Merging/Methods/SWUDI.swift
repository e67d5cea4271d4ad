// SWUDI: the task vector of least interference, found at once and only in directions that experts agree on enough.
//
//     a_i = 1 / ‖τ_i‖²,  C = Σ a_i τ_iᵀ τ_i = V L Vᵀ,  D = Σ a_i τ_i τ_iᵀ τ_i,  T₀ = Σ τ_i, their mean or 0 (`init`)
//     M = T₀ − (T₀ V f) Vᵀ + (D V (f / L)) Vᵀ,   θ = θ₀ + λ M         f for each of the K largest L, 0 for the others
//     swudi    f = 1 − exp(−time · L),  K = max(1, int(rank_ratio · n + 0.999)) of n columns
//              time=auto: n / N, and all directions
//     aswudi   f = 1,  K · `rank_scale` with K by `rank_rule` of all n eigenvalues:
//              participation_sqrt  ⌈(Σ √L)² / Σ L⌉        participation  ⌈(Σ L)² / Σ L²⌉
//              entropy             ⌈exp(−Σ p ln p)⌉, p = L / Σ L
//              gavish_donoho       the √L above ω times their median, ω by the shape of the matrix
//
// "Closed-form spectral regularization for multi-task model merging", 2026, arXiv:2606.07289, and its code, which has f = 1 − exp(−time L)
// for the state of gradient descent after a time: `wudi` solved. Eigenvalues below 10⁻⁸ count as that. L averages N / n, so 1300
// is f = 1 for matrices of fewer than some 200 columns; the authors have 1300 and 0.65 for CLIP ViT-B/32, 300 and 0.85 for Llama.
// `time=auto` is ours: one unit of time for every mean eigenvalue, with no scale to choose. Directions that hold nothing but
// rounding are left at T₀, where the authors' program in F32 divides noise by 10⁻⁸. Tensors that are not matrices get the mean task
// vector, and so do language model heads, as there. One pass; one eigenproblem of n by n, or of N m by N m where that is smaller, in F64.

import Glibc
import Kernels
import TensorCore

struct SWUDI: MergeMethod {
    private enum Start: String, CaseIterable, ParameterType {
        case sum, mean, zero

        func share(expertCount: Int) -> Double {
            switch self {
            case .sum: 1
            case .mean: 1 / Double(expertCount)
            case .zero: 0
            }
        }
    }

    private static let start = ParameterKey(
        "init", default: Start.sum, help: "What stays where a direction is filtered out.")
    private static let time = ParameterKey(
        "time", default: FilterTime.fixed(1300), range: 0...Double.greatestFiniteMagnitude,
        help: "How far directions go; auto: columns / experts, in all.")
    private static let rankRatio = ParameterKey(
        "rank_ratio", default: 0.65, range: 0...1, help: "Share of the directions that are taken at all.")
    private static let rankRule = ParameterKey(
        "rank_rule", default: RankRule.participationSqrt,
        help: "How many directions; or participation, entropy, gavish_donoho.")
    private static let rankScale = ParameterKey(
        "rank_scale", default: 1.0, range: 0...Double.greatestFiniteMagnitude, help: "Factor of that number.")

    let info: MethodInfo
    private let isAdaptive: Bool

    static let soft = SWUDI(
        "swudi", "Least interference with the experts' own weights, in their strongest directions.",
        [time, rankRatio], isAdaptive: false)
    static let adaptive = SWUDI(
        "aswudi", "Least interference in as many directions as each matrix has.", [rankRule, rankScale],
        isAdaptive: true)

    private init(_ name: String, _ summary: String, _ own: [any MethodParameter], isAdaptive: Bool) {
        self.isAdaptive = isAdaptive
        info = MethodInfo(
            name: name, summary: summary, paper: "2026, arXiv:2606.07289", needsBase: true,
            parameters: own + [Self.start] + MatrixSelection.parameters(excluding: ["*text_projection*", "*lm_head*"]))
    }

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        let count = arguments.expertCount
        return try MatrixSelection(arguments).assign(tensors) { arguments throws(MergeError) in
            let filter: any SpectralFilter =
                isAdaptive
                ? RankedSpectrum(rule: try arguments[Self.rankRule], scale: try arguments[Self.rankScale])
                : ExponentialFilter(
                    time: try arguments[Self.time], ratio: try arguments[Self.rankRatio], expertCount: count)
            return FilteredLeastInterference(
                lambda: try arguments[.lambda], weighting: .byNorm,
                start: try arguments[Self.start].share(expertCount: count), filter: filter)
        }
    }
}

/// The time of a filter.
enum FilterTime: ParameterType {
    case auto
    case fixed(Double)

    static var kind: ParameterSpec.Kind { .numberOr("auto") }
    var parameterValue: ParameterValue {
        switch self {
        case .auto: .text("auto")
        case .fixed(let time): .number(time)
        }
    }

    init?(parameter value: ParameterValue) {
        switch value {
        case .text("auto"): self = .auto
        case .number(let time): self = .fixed(time)
        default: return nil
        }
    }
}

/// f = 1 − exp(−time · L) for the largest eigenvalues.
private struct ExponentialFilter: SpectralFilter {
    let time: FilterTime
    let ratio: Double
    let expertCount: Int

    var floor: Double { 1e-8 }

    func shares(of spectrum: Spectrum) -> [Double] {
        let columns = Double(spectrum.columns)
        let (time, kept) =
            switch self.time {
            case .auto: (columns / Double(expertCount), spectrum.columns)
            case .fixed(let time): (time, max(1, Int(columns * ratio + 0.999)))
            }
        return spectrum.descending.enumerated().map { place, value in
            place < kept ? -expm1(-time * max(value, floor)) : 0
        }
    }
}

/// f = 1 for as many of the largest eigenvalues as a rule finds.
private struct RankedSpectrum: SpectralFilter {
    let rule: RankRule
    let scale: Double

    var floor: Double { 1e-8 }

    func shares(of spectrum: Spectrum) -> [Double] {
        let rank = Double(rule.rank(of: spectrum, floor: floor))
        let kept = min(max((rank * scale).rounded(.toNearestOrEven), 1), Double(spectrum.columns))
        return spectrum.descending.indices.map { Double($0) < kept ? 1 : 0 }
    }
}

/// How many directions a spectrum has.
enum RankRule: String, CaseIterable, ParameterType {
    case participationSqrt = "participation_sqrt"
    case participation
    case entropy
    case gavishDonoho = "gavish_donoho"

    /// A number from 1 to the number of columns.
    func rank(of spectrum: Spectrum, floor: Double) -> Int {
        let missing = max(0, spectrum.columns - spectrum.descending.count)
        let values = spectrum.descending.map { max($0, floor) } + Array(repeating: floor, count: missing)
        let sum = values.reduce(0, +)
        let count: Double
        switch self {
        case .participationSqrt:
            let roots = values.reduce(0) { $0 + $1.squareRoot() }
            count = (roots * roots / sum).rounded(.up)
        case .participation:
            count = (sum * sum / values.reduce(0) { $0 + $1 * $1 }).rounded(.up)
        case .entropy:
            var entropy = 0.0
            for value in values { entropy -= value / sum * log(value / sum) }
            count = exp(entropy).rounded(.up)
        case .gavishDonoho:
            let roots = values.map { $0.squareRoot() }
            let cut = Self.optimalCut(rows: spectrum.rows, columns: spectrum.columns) * roots[roots.count / 2]
            count = Double(roots.count { $0 > cut })
        }
        return min(max(Int(count), 1), spectrum.columns)
    }

    /// The best threshold for singular values, as a multiple of their median.
    ///
    /// - Source: Gavish and Donoho 2014, arXiv:1305.5870, for a noise level that is known, over the median of the noise as the authors of
    ///   SWUDI approximate it.
    private static func optimalCut(rows: Int, columns: Int) -> Double {
        let ratio = Double(min(rows, columns)) / Double(max(rows, columns))
        let median = ratio >= 0.9999 ? 2 + 3.0.squareRoot() : max((1 - ratio) * (1 - ratio) + ratio, 1e-3)
        let inner = ((ratio + 1) * (ratio + 1) + 12 * ratio).squareRoot()
        return (2 * (ratio + 1) + 8 * ratio / ((ratio + 1) + inner)).squareRoot() / median.squareRoot()
    }
}
