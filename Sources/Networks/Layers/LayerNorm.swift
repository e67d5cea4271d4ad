import Kernels

/// Applies layer normalisation over the last dimension of every row.
///
/// - Shapes: `x` `[R, C]` with rows `xStride` apart, `out` `[R, C]`, `weight` and `bias` `[C]`, `mean` and `rstd` `[R]`
///   for the backward pass.
/// - Precondition: buffers do not overlap.
/// - Source: Ba, Kiros, Hinton 2016, arXiv:1607.06450. `eps` is inside the square root and the variance is divided by
///   `C`, as in PyTorch.
package func layerNormForward(
    _ out: UnsafeMutablePointer<Float>, mean: UnsafeMutablePointer<Float>, rstd: UnsafeMutablePointer<Float>,
    _ x: UnsafePointer<Float>, xStride: Int, weight: UnsafePointer<Float>, bias: UnsafePointer<Float>, R: Int, C: Int,
    eps: Float
) {
    let perColumn = 1 / Float(C)
    for r in 0..<R {
        let row = x + r &* xStride
        let target = out + r &* C
        let m = laneSum(row, C) * perColumn
        for i in 0..<C { target[i] = row[i] - m }
        let s = 1 / ((laneProduct(target, target, C) * perColumn + eps).squareRoot())
        for i in 0..<C { target[i] = target[i] * s * weight[i] + bias[i] }
        mean[r] = m
        rstd[r] = s
    }
}

/// The gradients of `layerNormForward`.
///
/// Adds to all of them.
///
/// - Shapes: `dOut` `[R, C]`, `x` and `dx` `[R, C]` with rows `xStride` apart, `dWeight`, `dBias` and `scratch` `[C]`.
package func layerNormBackward(
    dx: UnsafeMutablePointer<Float>, dWeight: UnsafeMutablePointer<Float>, dBias: UnsafeMutablePointer<Float>,
    _ dOut: UnsafePointer<Float>, _ x: UnsafePointer<Float>, xStride: Int, mean: UnsafePointer<Float>,
    rstd: UnsafePointer<Float>, weight: UnsafePointer<Float>, R: Int, C: Int, scratch: UnsafeMutablePointer<Float>
) {
    let perColumn = 1 / Float(C)
    for r in 0..<R {
        let row = x + r &* xStride
        let g = dOut + r &* C
        let target = dx + r &* xStride
        let m = mean[r]
        let s = rstd[r]
        // With n = (x - m) s and h = g w:  dx = s (h - mean(h) - n mean(h n)).
        for i in 0..<C { dBias[i] += g[i] }
        for i in 0..<C { scratch[i] = (row[i] - m) * s }
        for i in 0..<C { dWeight[i] += g[i] * scratch[i] }
        var sums = SIMD8<Float>()
        var products = SIMD8<Float>()
        var sum: Float = 0
        var product: Float = 0
        var i = 0
        while i &+ 8 <= C {
            let h = load8(g, i) * load8(weight, i)
            sums += h
            products += h * load8(scratch, i)
            i &+= 8
        }
        while i < C {
            let h = g[i] * weight[i]
            sum += h
            product += h * scratch[i]
            i &+= 1
        }
        let meanSlope = (sums.sum() + sum) * perColumn
        let meanProduct = (products.sum() + product) * perColumn
        for i in 0..<C { target[i] += s * (g[i] * weight[i] - meanSlope - scratch[i] * meanProduct) }
    }
}

@inline(__always)
private func load8(_ x: UnsafePointer<Float>, _ i: Int) -> SIMD8<Float> {
    UnsafeRawPointer(x).loadUnaligned(fromByteOffset: i &* 4, as: SIMD8<Float>.self)
}
