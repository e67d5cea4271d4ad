// Singular values and vectors of the task vectors of one matrix.
//
// With σ_1 ≥ σ_2 ≥ … and p_j = σ_j² / Σ σ²:
//
//     stable rank      Σ σ² / σ_1²
//     effective rank   exp(−Σ p ln p)                  of the squared spectrum; Roy and Vetterli 2007 take σ itself
//     top energy       Σ_{j ≤ e} p_j
//
// Between experts, with the k = max(1, int(min(m, n) / T)) strongest directions of each of T experts, U = [U_1 | … | U_T],
// V likewise and S = diag(S_1, …, S_T):
//
//     interference     ‖(Uᵀ U − I) S (Vᵀ V − I)‖₁, the sum of magnitudes: the singular task interference of
//                      Gargiulo et al. 2025, arXiv:2412.00081
//     alignment        ‖U_aᵀ U_b‖_F² / min(k_a, k_b): 1 for one and the same space of left vectors, 0 for orthogonal ones
//
// Directions below the numerical rank are arbitrary and left out, so an expert may have fewer than k. A task vector that is not
// finite, because of NaN or an infinity in the base or the expert or because F32 cannot hold it, is not decomposed: all about it
// is NaN, and so is the interference of all.

import Glibc
import Kernels
import TensorCore

/// The spectra of the task vectors of one matrix.
public struct TaskVectorSpectra: Sendable, Hashable {
    public let tensor: TensorName
    public let shape: Shape
    /// In the order of the experts.
    public let experts: [Spectrum]
    /// The singular task interference of all experts; nil with a single one.
    public let interference: Double?
    /// Every pair once, in the order of the experts.
    public let alignments: [Alignment]

    /// The spectrum of one task vector; ranks are nil when it is zero.
    public struct Spectrum: Sendable, Hashable {
        /// In descending order.
        public let singularValues: [Float]
        /// Singular values above rounding noise; nil when the task vector is not finite.
        public let numericalRank: Int?
        public let stableRank: Double?
        public let effectiveRank: Double?
        public let topEnergy: Double?

        init(_ values: [Float], numericalRank: Int, energyRank: Int) {
            singularValues = values
            self.numericalRank = numericalRank
            let squares = values.map { Double($0) * Double($0) }
            let total = squares.reduce(0, +)
            guard total > 0 else {
                (stableRank, effectiveRank, topEnergy) = (nil, nil, nil)
                return
            }
            stableRank = total / squares[0]
            let entropy = squares.reduce(0) { $1 > 0 ? $0 - $1 / total * log($1 / total) : $0 }
            effectiveRank = exp(entropy)
            topEnergy = squares.prefix(energyRank).reduce(0, +) / total
        }

        /// Of a task vector that is not finite.
        init(notFinite count: Int) {
            singularValues = Array(repeating: .nan, count: count)
            numericalRank = nil
            (stableRank, effectiveRank, topEnergy) = (.nan, .nan, .nan)
        }
    }

    /// How much the strongest left directions of two experts span the same space; nil when one did not move.
    public struct Alignment: Sendable, Hashable {
        public let a: Int
        public let b: Int
        public let value: Double?
    }
}
