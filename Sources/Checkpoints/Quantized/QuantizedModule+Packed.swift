import TensorCore

/// The layouts in which integers of a few bits lie in words of 32.
extension QuantizedModule {
    /// GPTQ: `qweight` `[in / 8, out]` of 4 bits, packed down the inputs, with `scales` `[groups, out]`, `qzeros` `[groups, out / 8]`,
    /// one less than the zero point unless the format is `gptq_v2`, and `g_idx` `[in]`.
    func gptq(_ codes: TensorDescriptor) -> WeightDraft? {
        guard ["gptq", "quantized", nil].contains(config.method), let packed = packed(codes),
            packed.codes[1] == packed.columns, config.settings?["is_marlin_format"]?.bool != true
        else { return nil }
        let version = config.text("checkpoint_format") ?? config.text("format") ?? "gptq"
        let inputs = packed.codes[0] * packed.perWord
        guard ["gptq", "gptq_v2"].contains(version), leaves["perm"] == nil else { return nil }
        var weight = weight(
            packed, codes: PartMatrix.Packing(bits: packed.bits, runsDown: true),
            zeros: PartMatrix.Packing(bits: packed.bits, added: version == "gptq_v2" ? 0 : 1), rows: inputs,
            columns: packed.columns)
        var parts = ["qweight", "qzeros", "scales"]
        // Inputs were sorted, and `g_idx` alone tells how.
        guard packed.groups == 1 || leaves["g_idx"] != nil || config.settings?["desc_act"]?.bool != true else {
            return nil
        }
        if let groups = leaves["g_idx"] {
            guard groups.dtype == .i32, groups.shape.dims == [inputs] else { return nil }
            weight?.groups = place(of: groups)
            parts.append("g_idx")
        }
        return weight.flatMap {
            draft("qweight", as: "weight", parts: parts, dims: [packed.columns, inputs], $0)
        }
    }

    /// AWQ for products of matrices: `qweight` `[in, out / 8]`, packed along the outputs, of which a word has the even ones first.
    func awq(_ codes: TensorDescriptor) -> WeightDraft? {
        let order: [UInt8] = [0, 4, 1, 5, 2, 6, 3, 7]
        guard ["awq", "quantized", nil].contains(config.method), let packed = packed(codes), packed.bits == 4,
            packed.codes[1] * packed.perWord == packed.columns, leaves["g_idx"] == nil,
            ["gemm", nil].contains(config.text("version")),
            let weight = weight(
                packed, codes: PartMatrix.Packing(bits: 4, order: order),
                zeros: PartMatrix.Packing(bits: 4, order: order), rows: packed.codes[0], columns: packed.columns)
        else { return nil }
        return draft(
            "qweight", as: "weight", parts: ["qweight", "qzeros", "scales"], dims: [packed.columns, packed.codes[0]],
            weight)
    }

    /// What GPTQ and AWQ have in common.
    private struct Packed {
        /// The shape of the words with codes.
        let codes: [Int]
        let place: Int
        let scales: TensorDescriptor
        let zeros: Int
        let groups: Int
        let columns: Int
        let bits: Int
        var perWord: Int { 32 / bits }
    }

    private func packed(_ codes: TensorDescriptor) -> Packed? {
        guard [.i32, .u32].contains(codes.dtype), codes.shape.rank == 2, let scales = leaves["scales"],
            let zeros = leaves["qzeros"], [.i32, .u32].contains(zeros.dtype), scales.dtype.isComputable,
            scales.shape.rank == 2, zeros.shape.rank == 2, scales.elementCount > 0, zeros.elementCount > 0
        else { return nil }
        let (groups, columns) = (scales.shape.dims[0], scales.shape.dims[1])
        let perWord = columns / zeros.shape.dims[1]
        guard zeros.shape.dims == [groups, columns / max(1, perWord)], columns % max(1, perWord) == 0,
            [4, 8, 16].contains(perWord)
        else { return nil }
        let bits = 32 / perWord
        if let stated = config.integer("bits", "w_bit"), stated != bits { return nil }
        return Packed(
            codes: codes.shape.dims, place: place(of: codes), scales: scales, zeros: place(of: zeros), groups: groups,
            columns: columns, bits: bits)
    }

    private func weight(
        _ packed: Packed, codes: PartMatrix.Packing, zeros: PartMatrix.Packing, rows: Int, columns: Int
    ) -> QuantizedWeight? {
        let isOrdered = leaves["g_idx"] == nil
        let even = rows % packed.groups == 0 && (config.groupSizes.isEmpty || !isOrdered) ? [rows / packed.groups] : []
        guard let size = (config.groupSizes + even).first(where: { (rows - 1) / $0 + 1 == packed.groups }),
            let scales = PartMatrix(
                place(of: packed.scales), of: packed.scales.dtype, count: 1, rows: packed.groups, columns: columns)
        else { return nil }
        var weight = QuantizedWeight(
            codes: PartMatrix(packed.place, packed: codes, rows: rows, columns: columns), scales: scales,
            cell: (min(size, rows), 1))
        weight.zeros = PartMatrix(packed.zeros, packed: zeros, rows: packed.groups, columns: columns)
        weight.isTransposed = true
        return weight
    }

    /// compressed-tensors: `weight_packed` of words along the rows, with `weight_scale`, `weight_shape` and, where they are not symmetric,
    /// `weight_zero_point`, packed down the rows. Codes and zero points are stored with half their range on them.
    func packedIntegers(_ codes: TensorDescriptor, _ leaf: String) -> WeightDraft? {
        guard let stem = QuantizedParts.stem(of: leaf, before: "_packed"), codes.dtype == .i32, codes.shape.rank == 2,
            ["compressed-tensors", "quantized", nil].contains(config.method),
            let shape = leaves["\(stem)_shape"], let dims = sizes(shape), dims[0] == codes.shape.dims[0],
            let scales = leaves["\(stem)_scale"], scales.dtype.isComputable
        else { return nil }
        let fitting = [4, 8].filter { (dims[1] - 1) / (32 / $0) + 1 == codes.shape.dims[1] }
        guard fitting.count == 1 else { return nil }
        let bits = fitting[0]
        let matrix = PartMatrix(
            place(of: codes), packed: PartMatrix.Packing(bits: bits), rows: dims[0], columns: dims[1])
        guard
            let grid = ScaleGrid(
                scales, at: place(of: scales), as: scales.dtype, over: matrix, leading: [], config: config,
                isOfBlocks: false)
        else { return nil }
        var parts = [leaf, "\(stem)_scale", "\(stem)_shape"]
        var weight = QuantizedWeight(codes: matrix, scales: grid.scales, cell: grid.cell)
        if let zeros = leaves["\(stem)_zero_point"] {
            let words = (grid.scales.rows - 1) / (32 / bits) + 1
            guard zeros.dtype == .i32, zeros.shape.dims == [words, grid.scales.columns] else { return nil }
            weight.zeros = PartMatrix(
                place(of: zeros), packed: PartMatrix.Packing(bits: bits, runsDown: true), rows: grid.scales.rows,
                columns: grid.scales.columns)
            parts.append("\(stem)_zero_point")
        } else {
            weight.middle = Float(1 << (bits - 1))
        }
        return draft(leaf, as: stem, parts: parts, dims: dims, weight)
    }

    /// The two sizes that a tensor of integers holds.
    private func sizes(_ tensor: TensorDescriptor) -> [Int]? {
        guard [.i64, .i32].contains(tensor.dtype), tensor.elementCount == 2,
            let bytes = try? store.reader.bytes(of: place(of: tensor))
        else { return nil }
        let sizes = bytes.withUnsafeBytes { bytes in
            (0..<2).map { place in
                tensor.dtype == .i64
                    ? Int(Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8 * place, as: Int64.self)))
                    : Int(Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * place, as: Int32.self)))
            }
        }
        return sizes.allSatisfy { (1...1 << 40).contains($0) } ? sizes : nil
    }
}
