// Singular values and vectors of the task vectors of one matrix.
//
// With σ_1 ≥ σ_2 ≥ …, p_j = σ_j² / Σ σ² and q_j = σ_j / Σ σ:
//
//     stable rank      Σ σ² / σ_1²
//     effective rank   exp(−Σ p ln p), of the squared spectrum, and exp(−Σ q ln q), of the spectrum itself; the latter is that of
//                      Roy and Vetterli 2007
//     top energy       Σ_{j ≤ e} p_j
//     energy ranks     the smallest e for which the top energy reaches a share
//
// Between experts, with the k = max(1, int(min(m, n) / T)) strongest directions of each of T experts, U = [U_1 | … | U_T],
// V likewise and S = diag(S_1, …, S_T):
//
//     interference     ‖(Uᵀ U − I) S (Vᵀ V − I)‖₁, the sum of magnitudes: the singular task interference of
//                      Gargiulo et al. 2025, arXiv:2412.00081; the full one takes all directions
//     alignment        ‖U_aᵀ U_b‖_F² / min(k_a, k_b): 1 for one and the same space of left vectors, 0 for orthogonal ones
//
// Against the sum of all, M = Σ τ_i = U S Vᵀ, which is what task arithmetic adds at λ = 1:
//
//     alignment ratio  ‖U_k U_kᵀ τ_i‖_F / ‖τ_i‖_F with the smallest k for which √(Σ_{j ≤ k} σ_j² / Σ σ²) ≥ 0.95: Marczak et al. 2025,
//                      arXiv:2502.04959
//     SVC              s_ri = ⟨u_rᵀ M, u_rᵀ τ_i⟩ / ‖u_rᵀ τ_i‖², how many times direction r of the sum holds what expert i does
//                      there: arXiv:2602.05536
//     counted twice    Σ max(0, σ_r² − Σ_i ‖u_rᵀ τ_i‖²) / Σ σ_r²: the energy that is there only because experts move alike
//
// Directions below the numerical rank are arbitrary and left out, so an expert may have fewer than k. A task vector that is not
// finite, because of NaN or an infinity in the base or the expert or because F32 cannot hold it, is not decomposed: all about it
// is NaN, and so is everything of all experts together.

import Glibc
import Kernels
import TensorCore

/// The spectra of the task vectors of one matrix.
public struct TaskVectorSpectra: Sendable, Hashable {
    public let matrix: TaskVectorMatrix
    /// In the order of the experts.
    public let experts: [Spectrum]
    /// The singular task interference of all experts by their strongest directions; nil with a single one.
    public let interference: Double?
    /// The same by all directions; nil, too, where they are more than `fullDirectionLimit` together.
    public let fullInterference: Double?
    /// Every pair once, in the order of the experts.
    public let alignments: [Alignment]
    /// The sum of the task vectors; nil with a single expert and where nobody moved.
    public let sum: Merged?

    /// Beyond, the full interference takes longer than the decompositions.
    public static let fullDirectionLimit = 2048

    /// The shares of energy of `Spectrum.energyRanks`.
    public static let energyShares = [0.5, 0.8, 0.9, 0.95, 0.99]

    /// The spectrum of one task vector; ranks are nil when it is zero.
    public struct Spectrum: Sendable, Hashable {
        /// In descending order; good to 2⁻²⁶ of the largest.
        public let singularValues: [Double]
        /// Singular values above rounding noise; nil when the task vector is not finite.
        public let numericalRank: Int?
        public let stableRank: Double?
        /// Of the squared spectrum.
        public let effectiveRank: Double?
        /// Of the spectrum itself.
        public let linearEffectiveRank: Double?
        public let topEnergy: Double?
        /// How many singular values hold each of the `energyShares`.
        public let energyRanks: [Int]?

        init(_ values: [Double], numericalRank: Int, energyRank: Int) {
            singularValues = values
            self.numericalRank = numericalRank
            let energies = Self.energies(of: values)
            guard let total = energies.last, total > 0 else {
                (stableRank, effectiveRank, linearEffectiveRank, topEnergy, energyRanks) = (nil, nil, nil, nil, nil)
                return
            }
            stableRank = total / (values[0] * values[0])
            effectiveRank = exp(entropy(of: values.map { $0 * $0 }))
            linearEffectiveRank = exp(entropy(of: values))
            topEnergy = energies[min(energyRank, energies.count) - 1] / total
            energyRanks = TaskVectorSpectra.energyShares.map { share in
                (energies.firstIndex { $0 >= share * total } ?? energies.count - 1) + 1
            }
        }

        /// Of a task vector that is not finite.
        init(notFinite count: Int) {
            singularValues = Array(repeating: .nan, count: count)
            (numericalRank, energyRanks) = (nil, nil)
            (stableRank, effectiveRank, linearEffectiveRank, topEnergy) = (.nan, .nan, .nan, .nan)
        }

        /// Sums of the squares up to each singular value.
        public static func energies(of values: [Double]) -> [Double] {
            var sum = 0.0
            return values.map {
                sum += $0 * $0
                return sum
            }
        }
    }

    /// How much the strongest left directions of two experts span the same space; nil when one did not move.
    public struct Alignment: Sendable, Hashable {
        public let a: Int
        public let b: Int
        public let value: Double?
    }

    /// What the sum of all task vectors has of each.
    public struct Merged: Sendable, Hashable {
        /// Up to the numerical rank, in descending order.
        public let singularValues: [Double]
        /// Directions that hold 0.95² of the sum's energy.
        public let alignmentRank: Int
        /// Of every expert; nil when it did not move.
        public let alignmentRatios: [Double?]
        /// For every direction the mean of s_ri over the experts that have something there.
        public let directions: [Double?]
        /// For every expert the mean of s_ri over directions, weighted with their energy.
        public let experts: [Double?]
        /// The mean of `directions`, weighted with their energy.
        public let mean: Double?
        /// The share of the sum's energy that is there only because experts move alike: Σ max(0, σ_r² − Σ_i ‖u_rᵀ τ_i‖²) / Σ σ_r².
        public let countedTwice: Double?

        /// Of a sum that is not finite.
        init(notFiniteOf expertCount: Int) {
            (singularValues, alignmentRank, directions) = ([], 0, [])
            (mean, countedTwice) = (.nan, .nan)
            alignmentRatios = Array(repeating: .nan, count: expertCount)
            experts = alignmentRatios
        }

        /// Puts the figures of a sum together.
        ///
        /// - Parameters:
        ///   - values: of the sum, up to its numerical rank; at least one.
        ///   - shares: of every expert.
        init(_ values: [Double], alignmentRank: Int, _ shares: [ExpertShare]) {
            singularValues = values
            self.alignmentRank = alignmentRank
            alignmentRatios = shares.map(\.alignmentRatio)
            directions = values.indices.map { direction in
                let known = shares.compactMap { $0.coefficients[direction] }
                return known.isEmpty ? nil : known.reduce(0, +) / Double(known.count)
            }
            let energies = values.map { $0 * $0 }
            experts = shares.map { weightedMean($0.coefficients, energies) }
            mean = weightedMean(directions, energies)
            let repeated = values.indices.map { direction in
                repeatedShare(shares.map { $0.coefficients[direction] }, shares.map { $0.squares[direction] })
            }
            countedTwice = weightedMean(repeated, energies)
        }
    }

    /// What the sum has of one expert.
    struct ExpertShare: Sendable {
        let alignmentRatio: Double?
        /// s_ri of every direction; nil where the expert has nothing but rounding noise.
        let coefficients: [Double?]
        /// ‖u_rᵀ τ_i‖² of every direction.
        let squares: [Double]
    }
}

private func entropy(of values: [Double]) -> Double {
    let total = values.reduce(0, +)
    return values.reduce(0) { $1 > 0 ? $0 - $1 / total * log($1 / total) : $0 }
}
