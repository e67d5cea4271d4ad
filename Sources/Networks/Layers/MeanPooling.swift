/// Averages some tokens of every input.
///
/// - Shapes: `x` `[B, T, C]`, `tokens` among T, `out` `[B, C]`.
package func meanPoolingForward(
    _ out: UnsafeMutablePointer<Float>, _ x: UnsafePointer<Float>, tokens: Range<Int>, B: Int, T: Int, C: Int
) {
    let share = 1 / Float(tokens.count)
    for b in 0..<B {
        let row = out + b * C
        row.update(repeating: 0, count: C)
        addRows(row, x + (b * T + tokens.lowerBound) * C, stride: C, R: tokens.count, C: C)
        for c in 0..<C { row[c] *= share }
    }
}

/// The gradient of `meanPoolingForward`; overwrites `dx`, with zeros for tokens that are left out.
///
/// - Shapes: `dOut` `[B, C]`, `dx` `[B, T, C]`.
package func meanPoolingBackward(
    dx: UnsafeMutablePointer<Float>, _ dOut: UnsafePointer<Float>, tokens: Range<Int>, B: Int, T: Int, C: Int
) {
    let share = 1 / Float(tokens.count)
    dx.update(repeating: 0, count: B * T * C)
    for b in 0..<B {
        let row = dOut + b * C
        for t in tokens {
            let target = dx + (b * T + t) * C
            for c in 0..<C { target[c] = row[c] * share }
        }
    }
}

/// Averages the tokens of every input that are not masked.
///
/// - Shapes: `x` `[B, T, C]`, `mask` `[B, T]` of 0 and 1, `out` `[B, C]`.
/// - Precondition: every input has a token that is not masked.
package func maskedMeanForward(
    _ out: UnsafeMutablePointer<Float>, _ x: UnsafePointer<Float>, mask: UnsafePointer<Float>, B: Int, T: Int, C: Int
) {
    for b in 0..<B {
        let row = out + b * C
        row.update(repeating: 0, count: C)
        var count: Float = 0
        for t in 0..<T where mask[b * T + t] > 0 {
            let token = x + (b * T + t) * C
            for c in 0..<C { row[c] += token[c] }
            count += 1
        }
        for c in 0..<C { row[c] /= count }
    }
}

/// The gradient of `maskedMeanForward`; overwrites `dx`, with zeros for masked tokens.
///
/// - Shapes: `dOut` `[B, C]`, `mask` `[B, T]`, `dx` `[B, T, C]`.
package func maskedMeanBackward(
    dx: UnsafeMutablePointer<Float>, _ dOut: UnsafePointer<Float>, mask: UnsafePointer<Float>, B: Int, T: Int, C: Int
) {
    for b in 0..<B {
        var count: Float = 0
        for t in 0..<T { count += mask[b * T + t] }
        let row = dOut + b * C
        for t in 0..<T {
            let target = dx + (b * T + t) * C
            let share = mask[b * T + t] / count
            for c in 0..<C { target[c] = row[c] * share }
        }
    }
}
