/// From the tokens of the last block to features.
extension TransformerWorkspace {
    /// The features of the last pass, `[B, featureSize]`.
    func pool(_ p: UnsafePointer<Float>) -> UnsafePointer<Float> {
        let config = model.config
        let (a, C) = (activations, config.hiddenSize)
        var x = UnsafePointer(a + plan.input(of: plan.blocks.count))
        if config.finalNorm == .beforePooling {
            normalise(a + plan.normed, x, p, R: inputCount * lastQueryCount)
            x = UnsafePointer(a + plan.normed)
        }
        x = poolTokens(x, p)
        if config.finalNorm == .afterPooling {
            normalise(a + plan.feature, x, p, R: inputCount)
            x = UnsafePointer(a + plan.feature)
        }
        guard let projection = model.offsets.projection else { return x }
        productObserver?(projection, x, inputCount)
        linearForward(
            a + plan.projected, outStride: config.featureSize, x, xStride: C, weight: p + projection, bias: nil,
            R: inputCount, C: C, O: config.featureSize)
        return UnsafePointer(a + plan.projected)
    }

    /// The gradients of `pool`: leaves that of the last block's tokens in `scratch.last`.
    ///
    /// - Shapes: `dFeatures` `[B, featureSize]`.
    func unpool(
        _ dFeatures: UnsafePointer<Float>, _ p: UnsafePointer<Float>, grads: UnsafeMutablePointer<Float>,
        _ scratch: TransformerPlan.Scratch
    ) {
        let config = model.config
        let (a, B, C, R) = (activations, inputCount, config.hiddenSize, lastQueryCount)
        let last = a + plan.input(of: plan.blocks.count)
        let tokens = UnsafePointer(config.finalNorm == .beforePooling ? a + plan.normed : last)
        let pooled = pooledTokens(tokens)
        let feature = config.finalNorm == .afterPooling ? UnsafePointer(a + plan.feature) : pooled
        let dPooled = a + scratch.pooled
        if let projection = model.offsets.projection {
            linearBackward(
                dx: dPooled, dWeight: grads + projection, dBias: nil, dFeatures, outStride: config.featureSize,
                feature, xStride: C, weight: p + projection, R: B, C: C, O: config.featureSize)
        } else {
            dPooled.update(from: dFeatures, count: B * C)
        }
        if config.finalNorm == .afterPooling {
            let dMean = a + scratch.block.attended
            dMean.update(repeating: 0, count: B * C)
            denormalise(dMean, dPooled, pooled, p, grads: grads, scratch, R: B)
            dPooled.update(from: dMean, count: B * C)
        }
        let dLast = a + scratch.last
        guard config.finalNorm == .beforePooling else {
            unpoolTokens(dLast, dPooled, tokens, p, grads: grads, scratch)
            return
        }
        let dTokens = a + scratch.block.norm
        unpoolTokens(dTokens, dPooled, tokens, p, grads: grads, scratch)
        dLast.update(repeating: 0, count: B * R * C)
        denormalise(dLast, dTokens, last, p, grads: grads, scratch, R: B * R)
    }

    /// One vector of each input's tokens, `[B, C]`.
    private func poolTokens(_ x: UnsafePointer<Float>, _ p: UnsafePointer<Float>) -> UnsafePointer<Float> {
        let config = model.config
        let (a, B, T, C) = (activations, inputCount, tokenCount, config.hiddenSize)
        switch config.pooling {
        case .cls:
            guard plan.computesAllQueries else { break }
            for b in 0..<B { (a + plan.pooled + b * C).update(from: x + b * T * C, count: C) }
        case .mean, .distilled:
            if let mask = plan.mask {
                maskedMeanForward(a + plan.pooled, x, mask: a + mask, B: B, T: T, C: C)
            } else {
                meanPoolingForward(a + plan.pooled, x, tokens: config.pooledTokens(of: T), B: B, T: T, C: C)
            }
        case .attention:
            if let at = model.offsets.attentionPooling, let acts = plan.attentionPooling {
                attentionPoolingForward(x, p, at, a, acts, BlockSizes(config, B: B, T: T, R: 1))
            }
        }
        return pooledTokens(x)
    }

    /// Where `poolTokens` leaves its result.
    private func pooledTokens(_ x: UnsafePointer<Float>) -> UnsafePointer<Float> {
        switch model.config.pooling {
        // The last block computed no other token, unless it was asked to.
        case .cls: plan.computesAllQueries ? UnsafePointer(activations + plan.pooled) : x
        case .mean, .distilled: UnsafePointer(activations + plan.pooled)
        case .attention: UnsafePointer(activations + (plan.attentionPooling?.out ?? plan.pooled))
        }
    }

    /// The gradients of `poolTokens`: overwrites `dx`; `dPooled` is used up.
    private func unpoolTokens(
        _ dx: UnsafeMutablePointer<Float>, _ dPooled: UnsafeMutablePointer<Float>, _ x: UnsafePointer<Float>,
        _ p: UnsafePointer<Float>, grads: UnsafeMutablePointer<Float>, _ scratch: TransformerPlan.Scratch
    ) {
        let config = model.config
        let (a, B, T, C) = (activations, inputCount, tokenCount, config.hiddenSize)
        switch config.pooling {
        case .cls: dx.update(from: dPooled, count: B * C)
        case .mean, .distilled:
            if let mask = plan.mask {
                maskedMeanBackward(dx: dx, dPooled, mask: a + mask, B: B, T: T, C: C)
            } else {
                meanPoolingBackward(dx: dx, dPooled, tokens: config.pooledTokens(of: T), B: B, T: T, C: C)
            }
        case .attention:
            guard let at = model.offsets.attentionPooling, let acts = plan.attentionPooling else { return }
            attentionPoolingBackward(
                dx: dx, dPooled, grads: grads, x, p, at, a, acts, scratch.block,
                BlockSizes(config, B: B, T: T, R: 1))
        }
    }

    private func normalise(
        _ out: UnsafeMutablePointer<Float>, _ x: UnsafePointer<Float>, _ p: UnsafePointer<Float>, R: Int
    ) {
        guard let norm = model.offsets.norm else { return }
        layerNormForward(
            out, mean: activations + plan.mean, rstd: activations + plan.rstd, x, xStride: model.config.hiddenSize,
            weight: p + norm.weight, bias: p + norm.bias, R: R, C: model.config.hiddenSize,
            eps: model.config.layerNormEps)
    }

    private func denormalise(
        _ dx: UnsafeMutablePointer<Float>, _ dOut: UnsafePointer<Float>, _ x: UnsafePointer<Float>,
        _ p: UnsafePointer<Float>, grads: UnsafeMutablePointer<Float>, _ scratch: TransformerPlan.Scratch, R: Int
    ) {
        guard let norm = model.offsets.norm else { return }
        layerNormBackward(
            dx: dx, dWeight: grads + norm.weight, dBias: grads + norm.bias, dOut, x,
            xStride: model.config.hiddenSize, mean: activations + plan.mean, rstd: activations + plan.rstd,
            weight: p + norm.weight, R: R, C: model.config.hiddenSize, scratch: activations + scratch.block.slopes)
    }
}
