// Linear centred kernel alignment, of features X and Y `[N, C]` of the same inputs under two models, with columns centred:
//
//     CKA = ‖Xᵀ Y‖_F² / (‖Xᵀ X‖_F ‖Yᵀ Y‖_F)
//
// 1 when one is the other but for rotation and scale, so a drift that heads could follow leaves it high. Source: Kornblith, Norouzi, Lee,
// Hinton 2019, arXiv:1905.00414.
//
// Resampling inputs would take products of all features a thousand times over. The interval comes from what each input adds to
// ln CKA instead (the infinitesimal jackknife), with x and y its centred features:
//
//     l = 2 xᵀ (Xᵀ Y) y / ‖Xᵀ Y‖_F² − xᵀ (Xᵀ X) x / ‖Xᵀ X‖_F² − yᵀ (Yᵀ Y) y / ‖Yᵀ Y‖_F²
//
// and ln(CKA / (1 − CKA)) ± 1.96 √(Σ l²) / (1 − CKA), so that it stays between 0 and 1.

import Glibc
import Kernels

extension Figure {
    /// How similar the features of two models are: their linear CKA.
    ///
    /// - Shapes: `features` and `others` `[N, width]`.
    /// - Cost: six products of `N · width²`; memory for three matrices `[width, width]` and a block of inputs.
    /// - Returns: nil when features do not vary from input to input; NaN when one is not finite.
    /// - Throws: `IOError` when there is no memory, `DecompositionError` for a width that OpenBLAS cannot count.
    static func similarity(of features: [Float], to others: [Float], width: Int) throws -> Figure? {
        guard features.allSatisfy(\.isFinite), others.allSatisfy(\.isFinite) else { return Figure(.nan, nil) }
        let blocks = try FeatureBlocks(features, others, width: width)
        // Xᵀ Y, Xᵀ X, Yᵀ Y
        let grams = try (0..<3).map { _ in try Matrix<Double>(rows: width, columns: width) }
        blocks.forEach { count, x, y in
            for (gram, (a, b)) in zip(grams, [(x, y), (x, x), (y, y)]) {
                multiply(
                    width, width, count, a.transposed, b.view, into: gram.pointer, stride: width, accumulate: true)
            }
        }
        let squares = grams.map { gram in gram.values.reduce(0) { $0 + $1 * $1 } }
        guard squares[1] > 0, squares[2] > 0 else { return nil }
        let alignment = min(1, squares[0] / (squares[1].squareRoot() * squares[2].squareRoot()))
        guard alignment > 0, 1 - alignment > 1e-12 else { return Figure(alignment, alignment...alignment) }

        let product = try Matrix<Double>(rows: FeatureBlocks.capacity, columns: width)
        var variance = 0.0
        blocks.forEach { count, x, y in
            var influence = [Double](repeating: 0, count: count)
            for (place, (a, b)) in [(x, y), (x, x), (y, y)].enumerated() {
                multiply(count, width, width, a.view, grams[place].view, into: product.pointer, stride: width)
                let weight = (place == 0 ? 2 : -1) / squares[place]
                for n in 0..<count {
                    var sum = 0.0
                    for c in 0..<width { sum += product.pointer[n * width + c] * b.pointer[n * width + c] }
                    influence[n] += weight * sum
                }
            }
            variance += influence.reduce(0) { $0 + $1 * $1 }
        }
        let (centre, reach) = (log(alignment / (1 - alignment)), 1.96 * variance.squareRoot() / (1 - alignment))
        func share(_ logit: Double) -> Double { 1 / (1 + exp(-logit)) }
        return Figure(alignment, share(centre - reach)...share(centre + reach))
    }
}

/// Features of two models, centred and widened block by block, so that there is never a copy of all.
private struct FeatureBlocks {
    /// Inputs that are worked on at a time.
    static let capacity = 256
    private let sides: [(features: [Float], means: [Double], block: Matrix<Double>)]
    private let width: Int

    init(_ features: [Float], _ others: [Float], width: Int) throws {
        self.width = width
        sides = try [features, others].map { features in
            var means = [Double](repeating: 0, count: width)
            for place in features.indices { means[place % width] += Double(features[place]) }
            for c in means.indices { means[c] /= Double(features.count / width) }
            return (features, means, try Matrix<Double>(rows: Self.capacity, columns: width))
        }
    }

    func forEach(_ body: (_ count: Int, _ x: Matrix<Double>, _ y: Matrix<Double>) -> Void) {
        let N = sides[0].features.count / width
        for start in stride(from: 0, to: N, by: Self.capacity) {
            let count = min(Self.capacity, N - start)
            for (features, means, block) in sides {
                for place in 0..<count * width {
                    block.pointer[place] = Double(features[start * width + place]) - means[place % width]
                }
            }
            body(count, sides[0].block, sides[1].block)
        }
    }
}
