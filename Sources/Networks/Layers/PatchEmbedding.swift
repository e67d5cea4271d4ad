import Kernels

/// The sizes of a patch embedding: images of `C` channels, `h` by `w` pixels, cut in squares of side `P`, behind `F` learned tokens.
package struct PatchSizes {
    package let B, C, h, w, P, F: Int

    package init(B: Int, C: Int, h: Int, w: Int, P: Int, F: Int) {
        (self.B, self.C, self.h, self.w, self.P, self.F) = (B, C, h, w, P, F)
    }

    /// Learned tokens and patches.
    package var T: Int { F + (h / P) * (w / P) }
    /// The numbers in a patch.
    package var K: Int { C * P * P }
}

/// Copies the patches of chosen images to rows, each image's after rows of zeros that stand for the learned tokens.
///
/// - Shapes: `rows` `[B]` numbers of images, `out` `[B, T, K]` with `K = C P P` in the order of
///   a convolution's weight: channel, row, column.
package func gatherPatches(
    _ out: UnsafeMutablePointer<Float>, _ images: ImageSet, rows: UnsafeBufferPointer<Int>, _ sizes: PatchSizes
) {
    images.withReader { gatherPatches(out, $0, rows: rows, sizes) }
}

private func gatherPatches(
    _ out: UnsafeMutablePointer<Float>, _ images: ImageReader, rows: UnsafeBufferPointer<Int>, _ sizes: PatchSizes
) {
    let (C, h, w, P, K) = (sizes.C, sizes.h, sizes.w, sizes.P, sizes.K)
    var target = out
    for b in 0..<sizes.B {
        let image = rows[b] * (C * h * w)
        target.update(repeating: 0, count: sizes.F * K)
        target += sizes.F * K
        for y in stride(from: 0, to: h, by: P) {
            for x in stride(from: 0, to: w, by: P) {
                for c in 0..<C {
                    for row in 0..<P {
                        let line = (c * h + y + row) * w + x
                        images.copy(image + line, channel: c, count: P, to: target)
                        target += P
                    }
                }
            }
        }
    }
}

/// Embeds patches and adds the learned tokens in front and the position embedding.
///
/// - Shapes: `patches` `[B, T, K]` from `gatherPatches`, `weight` `[O, K]`, `bias` `[O]` or nil, `prefix` `[F, O]`, `position`
///   `[*, O]` with `positionRows` `[T]` the row of each token, if it has one, `out` `[B, T, O]`.
package func patchEmbeddingForward(
    _ out: UnsafeMutablePointer<Float>, patches: UnsafePointer<Float>, weight: UnsafePointer<Float>,
    bias: UnsafePointer<Float>?, prefix: UnsafePointer<Float>, position: UnsafePointer<Float>, positionRows: [Int?],
    _ sizes: PatchSizes, O: Int
) {
    let (B, T, K) = (sizes.B, sizes.T, sizes.K)
    for t in 0..<T {
        let row = out + t * O
        if let place = positionRows[t] {
            row.update(from: position + place * O, count: O)
        } else {
            row.update(repeating: 0, count: O)
        }
        guard let added = t < sizes.F ? prefix + t * O : bias else { continue }
        for o in 0..<O { row[o] += added[o] }
    }
    for b in 1..<max(B, 1) { (out + b * T * O).update(from: out, count: T * O) }
    // The learned tokens' rows of zeros add nothing, so one product serves all tokens.
    multiply(
        B * T, O, K, .rows(patches, stride: K), .transposed(weight, stride: K), into: out, stride: O, accumulate: true)
}

/// Adds the gradients of `patchEmbeddingForward`. Images need none.
///
/// - Shapes: `dPosition` as `position`, `scratch` `[T, O]`.
package func patchEmbeddingBackward(
    dWeight: UnsafeMutablePointer<Float>, dBias: UnsafeMutablePointer<Float>?, dPrefix: UnsafeMutablePointer<Float>,
    dPosition: UnsafeMutablePointer<Float>, positionRows: [Int?], _ dOut: UnsafePointer<Float>,
    patches: UnsafePointer<Float>, scratch: UnsafeMutablePointer<Float>, _ sizes: PatchSizes, O: Int
) {
    let (B, T, K, F) = (sizes.B, sizes.T, sizes.K, sizes.F)
    multiply(
        O, K, B * T, .transposed(dOut, stride: O), .rows(patches, stride: K), into: dWeight, stride: K, accumulate: true
    )
    scratch.update(repeating: 0, count: T * O)
    addRows(scratch, dOut, stride: T * O, R: B, C: T * O)
    for t in 0..<T {
        guard let place = positionRows[t] else { continue }
        addRows(dPosition + place * O, scratch + t * O, stride: O, R: 1, C: O)
    }
    addRows(dPrefix, scratch, stride: F * O, R: 1, C: F * O)
    if let dBias { addRows(dBias, scratch + F * O, stride: O, R: T - F, C: O) }
}
