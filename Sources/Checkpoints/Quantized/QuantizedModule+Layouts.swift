import TensorCore

/// The layouts in which codes are numbers.
extension QuantizedModule {
    /// 8-bit floats, or 4-bit floats that say so, with scales beside them.
    ///
    /// DeepSeek and transformers (`weight_scale_inv`, and `scale` in DeepSeek's own files), compressed-tensors, FBGEMM, ModelOpt
    /// (`weight_scale`), ComfyUI (`scale_weight`), and fused stacks of experts under any name. All of them multiply.
    func floats(_ codes: TensorDescriptor, _ leaf: String) -> WeightDraft? {
        guard codes.dtype.isFloatingPoint, codes.dtype != .f8E8M0, codes.dtype == .f4 || codes.dtype.bitWidth == 8,
            let scale = only(
                ["\(leaf)_scale_inv", "\(leaf)_scale", "scale_\(leaf)"] + (leaf == "weight" ? ["scale"] : [])),
            let matrix = matrix(codes, as: codes.dtype),
            let grid = grid(scale, over: matrix, codes, isOfBlocks: scale.hasSuffix("_inv") || scale == "scale"),
            // Of 4-bit floats the groups are known.
            codes.dtype != .f4 || [16, 32].contains(grid.cell.columns)
        else { return nil }
        return draft(
            leaf, as: leaf, parts: [leaf, scale], dims: codes.shape.dims,
            QuantizedWeight(codes: matrix, scales: grid.scales, cell: grid.cell))
    }

    private func grid(
        _ scale: String, over matrix: PartMatrix, _ codes: TensorDescriptor, isOfBlocks: Bool = false
    ) -> ScaleGrid? {
        guard let scales = leaves[scale], let dtype = Self.scaleType(scales.dtype) else { return nil }
        return ScaleGrid(
            scales, at: place(of: scales), as: dtype, over: matrix, leading: codes.shape.dims.dropLast(2),
            config: config, isOfBlocks: isOfBlocks)
    }

    /// What the numbers of a scale are; bytes are powers of two.
    private static func scaleType(_ dtype: DType) -> DType? {
        switch dtype {
        case .f16, .bf16, .f32, .f64, .f8E8M0: dtype
        case .u8: .f8E8M0
        default: nil
        }
    }

    /// 8-bit integers with scales, and zero points where they are not symmetric: compressed-tensors and ModelOpt.
    ///
    /// With powers of two for scales the bytes are pairs of 4-bit floats, in groups of 32: DeepSeek's experts.
    func integers(_ codes: TensorDescriptor, _ leaf: String) -> WeightDraft? {
        let name = "\(leaf)_scale"
        // ComfyUI says here whether weights were turned before.
        guard leaves["comfy_quant"] == nil, codes.dtype == .i8,
            let scale = only([name, "\(leaf)_scale_inv"] + (leaf == "weight" ? ["scale"] : [])),
            let scales = leaves[scale]
        else { return nil }
        guard scales.dtype.isComputable else { return powerPairs(codes, leaf, scale: scale) }
        guard scale == name, let matrix = matrix(codes, as: .i8), let grid = grid(scale, over: matrix, codes) else {
            return nil
        }
        var weight = QuantizedWeight(codes: matrix, scales: grid.scales, cell: grid.cell)
        var parts = [leaf, scale]
        if let zeros = leaves["\(leaf)_zero_point"] {
            guard zeros.dtype == .i8, zeros.shape == scales.shape else { return nil }
            weight.zeros = PartMatrix(
                place(of: zeros), of: .i8, count: grid.scales.count, rows: grid.scales.rows,
                columns: grid.scales.columns)
            parts.append("\(leaf)_zero_point")
        }
        return draft(leaf, as: leaf, parts: parts, dims: codes.shape.dims, weight)
    }

    /// Pairs of 4-bit floats in bytes: `weight_packed` of compressed-tensors, `weight` of ModelOpt.
    ///
    /// MXFP4 has a power of two for 32 numbers; NVFP4 an 8-bit float for 16, and a scale of the whole that compressed-tensors divides
    /// by and ModelOpt multiplies with.
    func pairs(_ codes: TensorDescriptor, _ leaf: String) -> WeightDraft? {
        let stem = QuantizedParts.stem(of: leaf, before: "_packed") ?? leaf
        let scale = "\(stem)_scale"
        guard codes.dtype == .u8, let scales = leaves[scale] else { return nil }
        guard scales.dtype == .f8E4M3 else {
            let isStated = stem != leaf || config.method?.lowercased().hasPrefix("modelopt") == true
            return isStated ? powerPairs(codes, leaf, scale: scale) : nil
        }
        guard let matrix = matrix(codes, as: .f4), let whole = only(["\(stem)_global_scale", "\(stem)_scale_2"]),
            let scaleOfAll = wholeScale(whole, divides: whole.hasSuffix("_global_scale"), count: matrix.count),
            let grid = groups(of: scales, as: .f8E4M3, size: 16, over: matrix, codes)
        else { return nil }
        var weight = QuantizedWeight(codes: matrix, scales: grid, cell: (1, 16))
        weight.whole = scaleOfAll
        return draft(
            leaf, as: stem, parts: [leaf, scale, whole], dims: Array(codes.shape.dims.dropLast()) + [matrix.columns],
            weight)
    }

    private func powerPairs(_ codes: TensorDescriptor, _ leaf: String, scale: String) -> WeightDraft? {
        let stem = QuantizedParts.stem(of: leaf, before: "_packed") ?? leaf
        guard let scales = leaves[scale], [.u8, .f8E8M0].contains(scales.dtype), let matrix = matrix(codes, as: .f4),
            let grid = groups(of: scales, as: .f8E8M0, size: 32, over: matrix, codes)
        else { return nil }
        return draft(
            leaf, as: stem, parts: [leaf, scale], dims: Array(codes.shape.dims.dropLast()) + [matrix.columns],
            QuantizedWeight(codes: matrix, scales: grid, cell: (1, 32)))
    }

    /// Scales of groups of columns of one size.
    private func groups(
        of scales: TensorDescriptor, as dtype: DType, size: Int, over matrix: PartMatrix, _ codes: TensorDescriptor
    ) -> PartMatrix? {
        guard matrix.columns % size == 0,
            scales.shape.dims == Array(codes.shape.dims.dropLast()) + [matrix.columns / size]
        else { return nil }
        return PartMatrix(
            place(of: scales), of: dtype, count: matrix.count, rows: matrix.rows, columns: matrix.columns / size)
    }

    /// MXFP4 as gpt-oss has it: `X_blocks` `[experts, out, in / 32, 16]` with `X_scales`, of which transformers makes `X`
    /// `[experts, in, out]`.
    func blocks(_ codes: TensorDescriptor, _ leaf: String) -> WeightDraft? {
        let dims = codes.shape.dims
        guard let stem = QuantizedParts.stem(of: leaf, before: "_blocks"), codes.dtype == .u8, dims.count == 4,
            dims[3] == 16, let scales = leaves["\(stem)_scales"],
            scales.dtype == .u8, scales.shape.dims == Array(dims.dropLast()),
            let matrix = PartMatrix(
                place(of: codes), of: .f4, count: dims[0], rows: dims[1], columns: dims[2] * 32),
            let grid = PartMatrix(
                place(of: scales), of: .f8E8M0, count: dims[0], rows: dims[1], columns: dims[2])
        else { return nil }
        var weight = QuantizedWeight(codes: matrix, scales: grid, cell: (1, 32))
        weight.isTransposed = true
        return draft(
            leaf, as: stem, parts: [leaf, "\(stem)_scales"], dims: [dims[0], matrix.columns, dims[1]], weight)
    }

    /// 8-bit integers of bitsandbytes: `weight` with the largest magnitude of each row, `SCB`, which stands for 127.
    func bitsandbytes(_ codes: TensorDescriptor, _ leaf: String) -> WeightDraft? {
        guard leaf == "weight", codes.dtype == .i8, codes.shape.rank == 2, let matrix = matrix(codes, as: .i8),
            let scales = leaves["SCB"], scales.dtype == .f32, scales.shape.dims == [matrix.rows],
            let grid = PartMatrix(place(of: scales), of: .f32, count: 1, rows: matrix.rows, columns: 1),
            !["SCBt", "CB", "CxB"].contains(where: { leaves[$0] != nil })
        else { return nil }
        var parts = [leaf, "SCB"]
        if let format = leaves["weight_format"] {
            // 0 is row by row; others are tiles for one kind of processor.
            guard format.elementCount == 1,
                (try? store.reader.bytes(of: place(of: format)))?.withUnsafeBytes(\.first) == 0
            else { return nil }
            parts.append("weight_format")
        }
        var weight = QuantizedWeight(codes: matrix, scales: grid, cell: (1, matrix.columns))
        // As bitsandbytes has it.
        weight.factor = 7.874015718698502e-3
        return draft(leaf, as: leaf, parts: parts, dims: codes.shape.dims, weight)
    }
}
