/// Averages the patch tokens of every image; the class token, the first, is left out.
///
/// - Shapes: `x` `[B, T, C]`, `out` `[B, C]`.
package func meanPoolingForward(
    _ out: UnsafeMutablePointer<Float>, _ x: UnsafePointer<Float>, B: Int, T: Int, C: Int
) {
    let share = 1 / Float(T - 1)
    for b in 0..<B {
        let row = out + b * C
        columnSums(row, x + (b * T + 1) * C, stride: C, R: T - 1, C: C)
        for c in 0..<C { row[c] *= share }
    }
}

/// The gradient of `meanPoolingForward`; overwrites `dx`, with zeros for the class token.
///
/// - Shapes: `dOut` `[B, C]`, `dx` `[B, T, C]`.
package func meanPoolingBackward(
    dx: UnsafeMutablePointer<Float>, _ dOut: UnsafePointer<Float>, B: Int, T: Int, C: Int
) {
    let share = 1 / Float(T - 1)
    for b in 0..<B {
        let image = dx + b * T * C
        let row = dOut + b * C
        image.update(repeating: 0, count: C)
        for t in 1..<T {
            let target = image + t * C
            for c in 0..<C { target[c] = row[c] * share }
        }
    }
}
