// LiNeS: scales the merged task vector by depth, so that early layers, which all tasks share, move less than late ones.
//
//     θ = θ₀ + λ (α + β l / (L − 1)) τ      in block l of L; α alone outside of blocks
//
// Wang et al. 2024, "LiNeS: Post-training layer scaling prevents forgetting and enhances model merging", arXiv:2410.17146. For one
// expert the paper sets α = s and β = 1 − s, for N experts α to 1/N times a ratio of norms, and sweeps β.
//
// Not a method but the parameters `lines_alpha` and `lines_beta` of every method with `lambda`: the scaling comes after the
// merge, where it is the same as a λ for every tensor, so methods need not know of it. The block is the first part of a name
// between dots that is a number; the authors take the smallest number of the name, which differs for mixtures of experts.

import TensorCore

/// A method whose λ depends on the depth of a tensor.
struct LayerScaling: MergeMethod {
    private let method: any MergeMethod
    let info: MethodInfo

    static let parameters = [
        ParameterSpec(
            "lines_alpha", .number, default: .number(1), help: "LiNeS: factor of lambda in the first block and outside."
        ),
        ParameterSpec(
            "lines_beta", .number, default: .number(0), help: "LiNeS: what the factor has grown by in the last block."),
    ]

    /// Gives a method the parameters, if it has `lambda`.
    static func wrap(_ method: any MergeMethod) -> any MergeMethod {
        method.info.parameters.contains { $0.name == "lambda" } ? LayerScaling(method) : method
    }

    private init(_ method: any MergeMethod) {
        self.method = method
        let inner = method.info
        info = MethodInfo(
            name: inner.name, summary: inner.summary, paper: inner.paper, needsBase: inner.needsBase,
            usesBase: inner.usesBase, expertCounts: inner.expertCounts, parameters: inner.parameters + Self.parameters)
    }

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        let last = tensors.compactMap { blockNumber(of: $0.name) }.max() ?? 0
        var lambdas: [TensorName: Double] = [:]
        var isScaling = false
        for tensor in tensors {
            let own = try arguments.forTensor(tensor.name)
            let (alpha, beta) = (try own.number("lines_alpha"), try own.number("lines_beta"))
            let depth = last > 0 ? Double(blockNumber(of: tensor.name) ?? 0) / Double(last) : 0
            let factor = alpha + beta * depth
            if factor != 1 { isScaling = true }
            lambdas[tensor.name] = try own.number("lambda") * factor
        }
        guard isScaling else { return try method.assign(tensors, arguments: arguments) }
        return try method.assign(tensors, arguments: arguments.replacing("lambda", byTensor: lambdas))
    }
}

/// The number of the block that a tensor belongs to, by its name.
func blockNumber(of name: TensorName) -> Int? {
    name.text.utf8.split(separator: UInt8(ascii: ".")).lazy.compactMap { part -> Int? in
        guard part.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return Int(Substring(part))
    }.first
}
