// KnOTS-TIES: TIES in a basis that all experts share, found by one decomposition of each layer.
//
//     layer: X_i = [τ_i of the weight | τ_i of its bias]        the weight with its first dimension as rows
//     [X_1 | … | X_N] = U S Vᵀ,   R_i = S V_iᵀ                  V_i the rows of V that belong to expert i; S > 10⁻⁵
//     keep the entries of R_i that reach the expert's (int(density · d) + 1)-th largest magnitude over all layers; d of them
//     s = sign(Σ R̂_i),   R = mean of the R̂_i ≠ 0 with sign s   their sum when `normalize` is false
//     θ = θ₀ + λ U R
//
// Stoica et al. 2024, "Model merging with SVD to tie the Knots", arXiv:2410.19735, and its code (vision models: density 0.2,
// λ 0.6). Made for adapters of low rank. A layer is a tensor of two or more dimensions that no pattern of `matrix_exclude`
// matches, with the vector that has its name with `bias` for `weight` at the end; a stack of experts' weights is a layer for each of
// them, and the rest follows `others`. The authors leave
// what has neither name at the base, and take weights of normalisation layers for diagonal matrices; here those are others.
// One decomposition of each layer, in F64. U and R of all layers are held in F32 until the end: at most N + 1 times the
// layers' size for square ones, little for low ranks.

import Kernels
import Synchronization
import TensorCore

struct KnOTS: MergeMethod {
    let info = MethodInfo(
        name: "knots_ties", summary: "TIES in a basis that all experts share.",
        paper: "Stoica et al. 2024, arXiv:2410.19735", needsBase: true,
        parameters: [
            ExpertParameterKey.density.with(
                help: "Share of an expert's coordinates that is kept; the paper keeps 0.2."),
            ParameterKey.normalize.with(
                default: true, help: "Average the coordinates that agree, instead of adding them."),
        ] + MatrixSelection.parameters)

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        let selection = try MatrixSelection(arguments)
        var places: [TensorName: Int] = [:]
        for (place, tensor) in tensors.enumerated() { places[tensor.name] = place }
        var rules: [MergeRule] = []
        for tensor in tensors { rules.append(try selection.rest(for: tensor)) }
        var layers: [SharedBasis.Layer] = []
        for (place, weight) in tensors.enumerated() {
            guard weight.shape.rank > 1, weight.elementCount > 0, !selection.isExcluded(weight) else { continue }
            if weight.isStackOfExperts, let shape = weight.matrices {
                let lambda = try arguments.forTensor(weight.name)[.lambda]
                rules[place] = .grouped(layers.count)
                var layer = SharedBasis.Layer(rows: shape.rows, columns: shape.columns)
                layer.members = [(columns: shape.columns, lambda: lambda)]
                layers += Array(repeating: layer, count: shape.count)
                continue
            }
            var members = [place]
            let rows = weight.shape.dims[0]
            let name = weight.name.text
            if name.hasSuffix("weight"), let bias = places[TensorName(name.dropLast(6) + "bias")],
                tensors[bias].shape == [rows]
            {
                members.append(bias)
            }
            var layer = SharedBasis.Layer(rows: rows, columns: 0)
            // The executor hands the members over in the order of the tensors.
            for member in members.sorted() {
                let lambda = try arguments.forTensor(tensors[member].name)[.lambda]
                layer.members.append((columns: tensors[member].elementCount / rows, lambda: lambda))
                layer.columns += tensors[member].elementCount / rows
                rules[member] = .grouped(layers.count)
            }
            layers.append(layer)
        }
        let densities = try arguments[.density]
        let normalize = try arguments[.normalize]
        let stacks = selection.warnings(
            ofStacksAmong: tensors, ranks: 3...3,
            one: "is taken for one matrix with a row for each place of its first dimension",
            many: "are taken for one matrix each, with a row for each place of its first dimension")
        return MergeAssignment(
            rules: rules, grouped: { [layers] in SharedBasis(layers, densities: densities, normalize: normalize) },
            warnings: stacks)
    }
}

/// TIES over the coordinates of all layers.
final class SharedBasis: GroupedMerge {
    struct Layer: Sendable {
        let rows: Int
        var columns: Int
        /// In the order of the tensors' columns.
        var members: [(columns: Int, lambda: Double)] = []

        init(rows: Int, columns: Int) {
            self.rows = rows
            self.columns = columns
        }
    }

    /// Singular values up to here are left out.
    static let smallestSingularValue = 1e-5

    private let layers: [Layer]
    private let densities: [Double]
    private let normalize: Bool
    private let state: Mutex<State>

    private struct State {
        /// By layer.
        var factors: [Factors?]
        /// For each expert: what a magnitude must reach to stay.
        var keys: [UInt32]
    }

    private struct Factors: Sendable {
        /// `[rows, rank]` and `[rank, N · columns]`.
        let u: Matrix<Float>
        let coordinates: Matrix<Float>
        /// Whether an expert changed anything.
        let isChanged: Bool

        var rank: Int { u.columns }
    }

    init(_ layers: [Layer], densities: [Double], normalize: Bool) {
        self.layers = layers
        self.densities = densities
        self.normalize = normalize
        state = Mutex(
            State(factors: Array(repeating: nil, count: layers.count), keys: densities.map { _ in 0 }))
    }

    var heldByteCount: Int {
        layers.reduce(0) { sum, layer in
            let width = layer.columns * densities.count
            return sum + 4 * min(layer.rows, width) * (layer.rows + width)
        }
    }

    var comparesGroups: Bool { densities.contains { $0 < 1 } }

    func workingByteCount(group: Int) throws -> Int {
        let (rows, width) = (layers[group].rows, layers[group].columns * densities.count)
        return try SingularValueDecomposition<Double>.workingByteCount(rows: rows, columns: width) + 12 * rows * width
    }

    func study(_ members: [MatrixInputs], group: Int) throws {
        let (rows, columns) = (layers[group].rows, layers[group].columns)
        let width = columns * densities.count
        let stacked = try Matrix<Double>(rows: rows, columns: width)
        var first = 0
        for member in members {
            let taskVector = try Matrix<Float>(rows: rows, columns: member.columns)
            for expert in densities.indices {
                member.readTaskVector(of: expert, into: taskVector)
                for row in 0..<rows {
                    let source = taskVector.pointer + row * member.columns
                    let place = stacked.pointer + row * width + expert * columns + first
                    for column in 0..<member.columns { place[column] = Double(source[column]) }
                }
            }
            first += member.columns
        }
        let found = try SingularValueDecomposition(destroying: stacked)
        let rank = found.singularValues.count { $0 > Self.smallestSingularValue }
        let u = try Matrix<Float>(rows: rows, columns: rank)
        let coordinates = try Matrix<Float>(rows: rank, columns: width)
        for row in 0..<rows {
            for k in 0..<rank { u.pointer[row * rank + k] = Float(found.u.pointer[row * found.rank + k]) }
        }
        for k in 0..<rank {
            let value = found.singularValues[k]
            for i in k * width..<(k + 1) * width { coordinates.pointer[i] = Float(value * found.vt.pointer[i]) }
        }
        let isChanged = (found.singularValues.first ?? 0) > 0
        state.withLock { $0.factors[group] = Factors(u: u, coordinates: coordinates, isChanged: isChanged) }
    }

    func finish() {
        state.withLock { state in
            let factors = state.factors
            let count = zip(layers, factors).reduce(0) { $0 + $1.0.columns * ($1.1?.rank ?? 0) }
            for expert in densities.indices {
                let kept = Int(densities[expert] * Double(count)) + 1
                state.keys[expert] = kept < count ? key(ofRank: kept, among: factors, expert: expert) : 0
            }
        }
    }

    /// The magnitude of an expert's coordinate of a rank, over all layers.
    private func key(ofRank rank: Int, among factors: [Factors?], expert: Int) -> UInt32 {
        var selection = MagnitudeSelection(rank: rank)
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: MagnitudeSelection.binCount) { counts in
            for _ in 0..<2 {
                let counter = selection.counter
                for (layer, factors) in zip(layers, factors) {
                    guard let factors, factors.rank > 0 else { continue }
                    counts.update(repeating: 0)
                    let width = layer.columns * densities.count
                    for k in 0..<factors.rank {
                        counter.count(
                            UnsafePointer(factors.coordinates.pointer) + k * width + expert * layer.columns,
                            count: layer.columns, into: counts.baseAddress!)
                    }
                    selection.absorb(counts.baseAddress!)
                }
                selection.finishPass()
            }
        }
        return selection.result?.key ?? 0
    }

    func merge(_ members: [MatrixInputs], group: Int, into results: [Matrix<Float>]) throws -> MergeRemark? {
        let (factors, keys) = state.withLock { state in
            defer { state.factors[group] = nil }
            return (state.factors[group], state.keys)
        }
        guard let factors else { preconditionFailure("the layer was not studied") }
        let layer = layers[group]
        let merged = try Matrix<Float>(rows: factors.rank, columns: layer.columns)
        for k in 0..<factors.rank { elect(factors, row: k, columns: layer.columns, keys: keys, into: merged) }
        var first = 0
        for (result, member) in zip(results, layer.members) {
            precondition(result.columns == member.columns, "the members of a layer come in another order")
            if factors.rank > 0 {
                withExtendedLifetime((factors, merged, result)) {
                    multiply(
                        layer.rows, member.columns, factors.rank, factors.u.view,
                        .rows(merged.pointer + first, stride: layer.columns), into: result.pointer,
                        stride: member.columns, alpha: Float(member.lambda))
                }
            }
            first += member.columns
        }
        let fullRank = min(layer.rows, layer.columns * densities.count)
        guard factors.isChanged, factors.rank < fullRank else { return nil }
        return MergeRemark(
            kind: .rank,
            text: "singular directions kept whose value exceeds \(Self.smallestSingularValue): "
                + "\(factors.rank) of \(fullRank)")
    }

    /// Merges one row of coordinates.
    ///
    /// Safety: the caller keeps the factors and the result alive.
    private func elect(_ factors: Factors, row: Int, columns: Int, keys: [UInt32], into merged: Matrix<Float>) {
        let width = columns * densities.count
        let source = UnsafePointer(factors.coordinates.pointer) + row * width
        for column in 0..<columns {
            var sum: Float = 0
            for expert in keys.indices {
                let value = source[expert * columns + column]
                if value.magnitudeKey >= keys[expert] { sum += value }
            }
            var (agreeing, count): (Float, Float) = (0, 0)
            for expert in keys.indices {
                let value = source[expert * columns + column]
                guard value.magnitudeKey >= keys[expert], sum >= 0 ? value > 0 : value < 0 else { continue }
                agreeing += value
                count += 1
            }
            merged.pointer[row * columns + column] = normalize && count > 0 ? agreeing / count : agreeing
        }
    }
}
