import Kernels
import TensorCore

extension TaskVectorSet {
    /// Decomposes the task vectors of every matrix: one decomposition for each expert, matrices side by side.
    ///
    /// A matrix is a tensor of two dimensions with elements.
    ///
    /// - Parameters:
    ///   - energyRank: how many singular values the top energy adds up.
    ///   - memory: bytes of working memory; a matrix that needs more is decomposed alone. Nil sets no bound.
    ///   - progress: told, from any thread, when a matrix is done; see `matrices`.
    /// - Throws: `AnalysisError` naming the tensor that cannot be decomposed, what the readers throw.
    public func spectra(
        energyRank: Int = 8, budget: ComputeBudget = ComputeBudget(), memory: Int? = nil,
        progress: @escaping @Sendable (TensorDescriptor) -> Void = { _ in }
    ) throws -> [TaskVectorSpectra] {
        let places = tensors.indices.filter { tensors[$0].shape.isMatrix && tensors[$0].elementCount > 0 }
        // Those that take longest go first.
        let order = places.indices.sorted { a, b in
            (cost(places[a]), b) > (cost(places[b]), a)
        }
        let gate = MemoryGate(limit: memory ?? Int.max)
        let spectra = try parallelMap(count: order.count, threads: budget.threads) { number in
            let place = places[order[number]]
            let tensor = tensors[place]
            let (rows, columns) = (tensor.shape.dims[0], tensor.shape.dims[1])
            do {
                let bytes =
                    try SingularValueDecomposition<Float>.workingByteCount(rows: rows, columns: columns)
                    + 4 * rows * columns + 4 * min(rows, columns) * (rows + columns + 3 * min(rows, columns))
                    + decodedByteCount(place)
                gate.enter(bytes)
                defer { gate.leave(bytes) }
                let spectra = try measure(places[order[number]], tensor, energyRank: energyRank)
                progress(tensor)
                return (place: order[number], spectra: spectra)
            } catch let error as DecompositionError {
                throw AnalysisError(error, tensor: tensor)
            }
        }
        return spectra.sorted { $0.place < $1.place }.map(\.spectra)
    }

    /// The matrices that `spectra` decomposes.
    public var matrices: [TensorDescriptor] { tensors.filter { $0.shape.isMatrix && $0.elementCount > 0 } }

    private func cost(_ tensor: Int) -> Double {
        Double(tensors[tensor].elementCount) * Double(tensors[tensor].shape.dims.min() ?? 0)
    }

    private func measure(_ place: Int, _ tensor: TensorDescriptor, energyRank: Int) throws -> TaskVectorSpectra {
        let (rows, columns) = (tensor.shape.dims[0], tensor.shape.dims[1])
        let loaded = try load(place)
        let share = max(1, Int(Double(min(rows, columns)) * (1 / Double(names.count))))
        var triplets = try TripletStack(rows: rows, columns: columns, capacity: share * names.count)
        var spectra: [TaskVectorSpectra.Spectrum] = []
        var ranges: [Range<Int>?] = []
        let nonFinite = loaded.countNonFinite(0..<rows * columns)
        let matrix = try Matrix<Float>(rows: rows, columns: columns)
        for expert in names.indices {
            loaded.forEachBlock(of: expert, 0..<rows * columns) { start, count, values in
                (matrix.pointer + start).update(from: values, count: count)
            }
            guard nonFinite[0].isZero, nonFinite[expert + 1].isZero, isFinite(matrix.pointer, count: rows * columns),
                case let factors = try SingularValueDecomposition(destroying: matrix),
                factors.singularValues.allSatisfy(\.isFinite)
            else {
                ranges.append(nil)
                spectra.append(.init(notFinite: min(rows, columns)))
                continue
            }
            let rank = factors.numericalRank
            let first = triplets.count
            triplets.append(factors, count: min(share, rank))
            ranges.append(first..<triplets.count)
            spectra.append(.init(factors.singularValues, numericalRank: rank, energyRank: energyRank))
        }
        let overlaps = try DirectionOverlaps(triplets)
        let pairs = names.indices.flatMap { a in names.indices.dropFirst(a + 1).map { (a, $0) } }
        return TaskVectorSpectra(
            tensor: tensor.name, shape: tensor.shape, experts: spectra,
            interference: names.count == 1
                ? nil : ranges.contains(nil) ? .nan : try overlaps.interference(triplets.singularValues),
            alignments: pairs.map { a, b in
                guard let first = ranges[a], let second = ranges[b] else { return .init(a: a, b: b, value: .nan) }
                return .init(a: a, b: b, value: overlaps.alignment(first, second))
            })
    }
}

/// The inner products of singular vectors, UᵀU and VᵀV.
private struct DirectionOverlaps {
    let count: Int
    let left: Matrix<Float>
    let right: Matrix<Float>

    init(_ triplets: TripletStack) throws {
        count = triplets.count
        left = try Matrix<Float>(rows: count, columns: count)
        right = try Matrix<Float>(rows: count, columns: count)
        guard count > 0 else { return }
        for (vectors, result) in [(triplets.ut, left), (triplets.vt, right)] {
            multiply(
                count, count, vectors.columns, vectors.view, vectors.transposed, into: result.pointer, stride: count)
        }
    }

    /// ‖(UᵀU − I) S (VᵀV − I)‖₁
    func interference(_ singularValues: [Float]) throws -> Double {
        guard count > 0 else { return 0 }
        let scaled = try Matrix<Float>(rows: count, columns: count)
        let others = try Matrix<Float>(rows: count, columns: count)
        let product = try Matrix<Float>(rows: count, columns: count)
        for i in 0..<count {
            for j in 0..<count {
                let identity: Float = i == j ? 1 : 0
                scaled.pointer[i * count + j] = (left.pointer[i * count + j] - identity) * singularValues[j]
                others.pointer[i * count + j] = right.pointer[i * count + j] - identity
            }
        }
        multiply(
            count, count, count, scaled.view, others.view, into: product.pointer, stride: count)
        return product.values.reduce(0) { $0 + Double(abs($1)) }
    }

    /// ‖U_aᵀ U_b‖_F² / min(k_a, k_b)
    func alignment(_ a: Range<Int>, _ b: Range<Int>) -> Double? {
        guard !a.isEmpty, !b.isEmpty else { return nil }
        var sum = 0.0
        for i in a {
            for j in b {
                let product = Double(left.pointer[i * count + j])
                sum += product * product
            }
        }
        return sum / Double(min(a.count, b.count))
    }
}

extension AnalysisError {
    /// Says which tensor could not be decomposed.
    package init(_ error: DecompositionError, tensor: TensorDescriptor) {
        let (name, hint) = (tensor.name, "leave it out with --exclude")
        switch error {
        case .notFinite: preconditionFailure("what is not finite is not decomposed")
        case .tooLarge:
            self.init(.memory, "tensor \"\(name)\" \(tensor.shape) is too large to decompose", tensor: name, hint: hint)
        case .notConverged(let info):
            self.init(
                .notConverged,
                "the decomposition of tensor \"\(name)\" \(tensor.shape) did not converge (info \(info))",
                tensor: name, hint: hint)
        }
    }
}
