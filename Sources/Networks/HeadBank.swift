import Kernels

/// Several heads read from one feature, all their weights in one matrix so that one product serves them all.
///
/// With `u = W f` and `s` the head's `logitScale`, divided by `max(|f|, 1e-12)` where the head normalises, the logits are
/// `z = s u + b`. The bound on the norm is that of PyTorch's `normalize`.
public struct HeadBank: Sendable {
    public let heads: [ClassificationHead]
    /// The classes of all heads together: K.
    public let classCount: Int
    /// The width of the feature: C.
    public let width: Int
    /// The columns of each head in a row of logits.
    public let columns: [Range<Int>]
    private let weight: [Float]
    private let normalizes: Bool

    /// Puts heads side by side.
    ///
    /// - Precondition: there is a head, and all read features of one width.
    public init(_ heads: [ClassificationHead]) {
        precondition(!heads.isEmpty && heads.allSatisfy { $0.width == heads[0].width }, "heads of unequal width")
        self.heads = heads
        width = heads[0].width
        var start = 0
        columns = heads.map { head in
            defer { start += head.classCount }
            return start..<start + head.classCount
        }
        classCount = start
        weight = heads.flatMap(\.weight)
        normalizes = heads.contains(where: \.normalizesFeature)
    }

    /// The logits of all heads.
    ///
    /// - Shapes: `features` `[B, C]`, the result `[B, K]`.
    public func logits(features: [Float]) -> [Float] {
        let B = features.count / width
        var result = [Float](repeating: 0, count: B * classCount)
        var norms = [Float](repeating: 0, count: B)
        result.withUnsafeMutableBufferPointer { result in
            norms.withUnsafeMutableBufferPointer { norms in
                features.withUnsafeBufferPointer { features in
                    guard let out = result.baseAddress, let norms = norms.baseAddress, let f = features.baseAddress
                    else { return }
                    forward(out, inverseNorms: norms, features: f, B: B)
                }
            }
        }
        return result
    }

    /// Overwrites `out` with the logits of all heads.
    ///
    /// - Shapes: `features` `[B, C]`, `out` `[B, K]`, `inverseNorms` `[B]` for the backward pass.
    package func forward(
        _ out: UnsafeMutablePointer<Float>, inverseNorms: UnsafeMutablePointer<Float>,
        features: UnsafePointer<Float>, B: Int
    ) {
        let (C, K) = (width, classCount)
        weight.withUnsafeBufferPointer { weight in
            guard let weight = weight.baseAddress else { return }
            multiply(B, K, C, .rows(features, stride: C), .transposed(weight, stride: C), into: out, stride: K)
        }
        for b in 0..<B {
            let f = features + b * C
            inverseNorms[b] = normalizes ? 1 / max(laneProduct(f, f, C).squareRoot(), 1e-12) : 1
            for (head, columns) in zip(heads, columns) {
                let row = out + b * K + columns.lowerBound
                let scale = head.logitScale * (head.normalizesFeature ? inverseNorms[b] : 1)
                for k in 0..<columns.count { row[k] = row[k] * scale + head.bias[k] }
            }
        }
    }

    /// Overwrites `dFeatures` with the gradient of the features; uses up `dLogits`.
    ///
    /// - Shapes: `dLogits` and `logits` `[B, K]`, `features` and `dFeatures` `[B, C]`, `inverseNorms` `[B]`.
    package func backward(
        dFeatures: UnsafeMutablePointer<Float>, dLogits: UnsafeMutablePointer<Float>, logits: UnsafePointer<Float>,
        features: UnsafePointer<Float>, inverseNorms: UnsafePointer<Float>, B: Int
    ) {
        let (C, K) = (width, classCount)
        // The derivative of 1/|f| is -f/|f|³, so the heads that normalise add -(Σ dz (z - b)) f / |f|².
        var radial = [Float](repeating: 0, count: normalizes ? B : 0)
        for b in 0..<B {
            for (head, columns) in zip(heads, columns) {
                let row = dLogits + b * K + columns.lowerBound
                let values = logits + b * K + columns.lowerBound
                if head.normalizesFeature {
                    var sum: Float = 0
                    for k in 0..<columns.count { sum += row[k] * (values[k] - head.bias[k]) }
                    radial[b] += sum * inverseNorms[b] * inverseNorms[b]
                }
                let scale = head.logitScale * (head.normalizesFeature ? inverseNorms[b] : 1)
                for k in 0..<columns.count { row[k] *= scale }
            }
        }
        weight.withUnsafeBufferPointer { weight in
            guard let weight = weight.baseAddress else { return }
            multiply(B, C, K, .rows(dLogits, stride: K), .rows(weight, stride: C), into: dFeatures, stride: C)
        }
        guard normalizes else { return }
        for b in 0..<B {
            let target = dFeatures + b * C
            let f = features + b * C
            for c in 0..<C { target[c] -= radial[b] * f[c] }
        }
    }
}
