import TensorCore

/// The tensors of one module with quantised weights, and what they can be.
struct QuantizedModule {
    let leaves: ModuleTensors.Leaves
    let config: QuantizationConfig
    let store: TensorStore
    private let parts: Set<TensorName>

    init(
        _ store: TensorStore, _ name: TensorName, _ leaves: ModuleTensors.Leaves, parts: Set<TensorName>,
        config: QuantizationConfig
    ) {
        (self.store, self.leaves, self.parts, self.config) = (store, leaves, parts, config)
    }

    /// What can be put together.
    func drafts() -> [WeightDraft] {
        // Inputs that are scaled before they meet a weight make it another one.
        guard leaves["pre_quant_scale"] == nil else { return [] }
        return leaves.names.compactMap { leaf in
            guard let codes = leaves[leaf], parts.contains(codes.name), codes.shape.rank >= 2, Self.isOfUse(codes)
            else {
                return nil
            }
            return if leaf == "qweight" {
                gptq(codes) ?? awq(codes)
            } else if leaf.hasSuffix("_blocks") {
                blocks(codes, leaf)
            } else if leaf.hasSuffix("_packed") {
                pairs(codes, leaf) ?? packedIntegers(codes, leaf)
            } else if leaves["SCB"] != nil {
                bitsandbytes(codes, leaf)
            } else {
                floats(codes, leaf) ?? integers(codes, leaf) ?? pairs(codes, leaf)
            }
        }
    }

    /// Sizes beyond these do not occur, and need no thought about overflow.
    private static func isOfUse(_ tensor: TensorDescriptor) -> Bool {
        (1...1 << 44).contains(tensor.elementCount) && tensor.shape.dims.allSatisfy { $0 <= 1 << 40 }
    }

    // MARK: - Places and names

    func place(of tensor: TensorDescriptor) -> Int {
        guard let place = store.index(of: tensor.name) else {
            preconditionFailure("a module's tensors are its store's")
        }
        return place
    }

    /// The only one of some leaves that there is; nil also when there are several.
    func only(_ names: [String]) -> String? {
        let found = names.filter { leaves[$0] != nil }
        return found.count == 1 ? found[0] : nil
    }

    /// A draft, unless the module has parts of the weight that it does not take.
    func draft(
        _ codes: String, as leaf: String, parts used: [String], dims: [Int], _ weight: QuantizedWeight
    ) -> WeightDraft? {
        let others = leaves.names(startingWith: "\(leaf)_").filter { name in
            !used.contains(name) && (leaves[name].map { parts.contains($0.name) } ?? false)
        }
        guard others.allSatisfy({ Quantization.isActivationScale(String($0.dropFirst(leaf.utf8.count + 1))) }) else {
            return nil
        }
        return WeightDraft(codes: codes, leaf: leaf, parts: used + others, dims: dims, weight: weight)
    }

    /// A matrix of codes, or a stack of them, of a tensor's last two dimensions.
    ///
    /// - Parameter dtype: what the bytes are; 4-bit numbers two to a byte of another type.
    func matrix(_ tensor: TensorDescriptor, as dtype: DType) -> PartMatrix? {
        let dims = tensor.shape.dims
        guard dims.count >= 2 else { return nil }
        let each = tensor.dtype.bitWidth / dtype.bitWidth
        return PartMatrix(
            place(of: tensor), of: dtype, count: dims.dropLast(2).reduce(1, *), rows: dims[dims.count - 2],
            columns: dims[dims.count - 1] * each)
    }

    /// A scale of all of a matrix: one number, or one for each matrix of a stack.
    func wholeScale(_ leaf: String, divides: Bool, count: Int) -> QuantizedWeight.Whole? {
        guard let tensor = leaves[leaf], [1, count].contains(tensor.elementCount), tensor.dtype.isComputable,
            let scale = PartMatrix(
                place(of: tensor), of: tensor.dtype, count: tensor.elementCount, rows: 1, columns: 1)
        else { return nil }
        return QuantizedWeight.Whole(scale: scale, divides: divides)
    }
}
