import Kernels

/// The sizes of a patch embedding: images of `C` channels, `h` by `w` pixels, cut in squares of side `P`.
package struct PatchSizes {
    package let B, C, h, w, P: Int

    package init(B: Int, C: Int, h: Int, w: Int, P: Int) {
        (self.B, self.C, self.h, self.w, self.P) = (B, C, h, w, P)
    }

    /// Patches and the class token.
    package var T: Int { (h / P) * (w / P) + 1 }
    /// The numbers in a patch.
    package var K: Int { C * P * P }
}

/// Copies the patches of chosen images to rows, each after a row of zeros that stands for the class token.
///
/// - Shapes: `rows` `[B]` numbers of images, `out` `[B, T, K]` with `K = C P P` in the order of
///   a convolution's weight: channel, row, column.
package func gatherPatches(
    _ out: UnsafeMutablePointer<Float>, _ images: ImageSet, rows: UnsafeBufferPointer<Int>, _ sizes: PatchSizes
) {
    images.values.withUnsafeBufferPointer { values in
        guard let values = values.baseAddress else { return }
        gatherPatches(out, images: values, rows: rows, sizes)
    }
}

private func gatherPatches(
    _ out: UnsafeMutablePointer<Float>, images: UnsafePointer<Float>, rows: UnsafeBufferPointer<Int>,
    _ sizes: PatchSizes
) {
    let (C, h, w, P, K) = (sizes.C, sizes.h, sizes.w, sizes.P, sizes.K)
    var target = out
    for b in 0..<sizes.B {
        let image = images + rows[b] * (C * h * w)
        target.update(repeating: 0, count: K)
        target += K
        for y in stride(from: 0, to: h, by: P) {
            for x in stride(from: 0, to: w, by: P) {
                for c in 0..<C {
                    for row in 0..<P {
                        let line = (c * h + y + row) * w + x
                        target.update(from: image + line, count: P)
                        target += P
                    }
                }
            }
        }
    }
}

/// Embeds patches and adds class token and position embedding.
///
/// - Shapes: `patches` `[B, T, K]` from `gatherPatches`, `weight` `[O, K]`, `bias` `[O]` or nil, `cls` `[O]`, `position`
///   `[T, O]`, `out` `[B, T, O]`.
package func patchEmbeddingForward(
    _ out: UnsafeMutablePointer<Float>, patches: UnsafePointer<Float>, weight: UnsafePointer<Float>,
    bias: UnsafePointer<Float>?, cls: UnsafePointer<Float>, position: UnsafePointer<Float>, _ sizes: PatchSizes, O: Int
) {
    let (B, T, K) = (sizes.B, sizes.T, sizes.K)
    for b in 0..<B {
        let image = out + b * T * O
        image.update(from: position, count: T * O)
        for o in 0..<O { image[o] += cls[o] }
        if let bias {
            for t in 1..<T {
                let row = image + t * O
                for o in 0..<O { row[o] += bias[o] }
            }
        }
    }
    // The class token's row of zeros adds nothing, so one product serves all tokens.
    multiply(
        B * T, O, K, .rows(patches, stride: K), .transposed(weight, stride: K), into: out, stride: O, accumulate: true)
}

/// The gradients of `patchEmbeddingForward`; overwrites all of them. Images need none.
package func patchEmbeddingBackward(
    dWeight: UnsafeMutablePointer<Float>, dBias: UnsafeMutablePointer<Float>?, dCls: UnsafeMutablePointer<Float>,
    dPosition: UnsafeMutablePointer<Float>, _ dOut: UnsafePointer<Float>, patches: UnsafePointer<Float>,
    _ sizes: PatchSizes, O: Int
) {
    let (B, T, K) = (sizes.B, sizes.T, sizes.K)
    multiply(O, K, B * T, .transposed(dOut, stride: O), .rows(patches, stride: K), into: dWeight, stride: K)
    columnSums(dPosition, dOut, stride: T * O, R: B, C: T * O)
    dCls.update(from: dPosition, count: O)
    if let dBias { columnSums(dBias, dPosition + O, stride: O, R: T - 1, C: O) }
}
