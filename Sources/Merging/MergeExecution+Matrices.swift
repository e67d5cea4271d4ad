import Kernels
import TensorCore

extension MergeExecution {
    /// Merges matrices side by side, as many at a time as the memory allows, those that take longest first.
    func mergeMatrices() throws {
        let matrices = plan.tensors.compactMap { tensor -> (tensor: PlannedTensor, rule: any MatrixRule, bytes: Int)? in
            guard case .matrix(let rule, let bytes) = tensor.work, isInPart(tensor) else { return nil }
            return (tensor, rule, bytes + tensor.decodedByteCount)
        }.sorted { ($0.tensor.cost, $1.tensor.number) > ($1.tensor.cost, $0.tensor.number) }
        let gate = MemoryGate(limit: plan.memory.limit ?? Int.max)
        try parallel(count: matrices.count, threads: plan.budget.threads) { place in
            let (tensor, rule, bytes) = matrices[place]
            gate.enter(bytes)
            defer { gate.leave(bytes) }
            try mergeMatrix(tensor, rule)
            log.advance(tensor.output.byteCount)
        }
    }

    private func mergeMatrix(_ tensor: PlannedTensor, _ rule: any MatrixRule) throws {
        let (rows, columns) = (tensor.output.shape.dims[0], tensor.output.shape.dims[1])
        let loaded = try LoadedTensor(tensor, of: plan.models, hasBase: plan.hasBase)
        try loaded.withSources { base, experts in
            guard let base else { preconditionFailure("matrix methods need a base") }
            let inputs = MatrixInputs(rows: rows, columns: columns, base: base, experts: experts)
            try look(at: loaded)
            let taskVector = try Matrix<Float>(rows: rows, columns: columns)
            do {
                if let remark = try rule.merge(inputs, into: taskVector) { log.note(remark, on: tensor.number) }
            } catch let error as DecompositionError {
                throw MergeError(error, tensor: tensor.output, inputs: log.notFinite(in: tensor.number))
            }
            try write(base, plus: taskVector, to: tensor)
        }
    }

    /// Counts NaN and infinities in a matrix of every model.
    func look(at tensor: LoadedTensor) throws {
        let counts = try tensor.withModels { sources in
            try sources.enumerated().map { model, source in
                guard let ledger else {
                    return source.countNonFinite(from: 0, count: tensor.planned.output.elementCount)
                }
                return try ledger.read(tensor, model: model).nonFinite
            }
        }
        log.add(counts, to: tensor.planned.number)
    }

    /// Writes the base plus a merged task vector.
    func write(_ base: MergeSource, plus taskVector: Matrix<Float>, to tensor: PlannedTensor) throws {
        if tensor.needsDouble {
            try write(base, plus: taskVector, to: tensor, in: Double.self)
        } else {
            try write(base, plus: taskVector, to: tensor, in: Float.self)
        }
    }

    private func write<T: ElementwiseScalar>(
        _ base: MergeSource, plus taskVector: Matrix<Float>, to tensor: PlannedTensor, in scalar: T.Type
    ) throws {
        try withUnsafeTemporaryAllocation(of: T.self, capacity: mergeBlockCapacity) { memory in
            let values = memory.baseAddress!
            try write(0..<tensor.output.elementCount, of: tensor) { start, count in
                base.read(from: start, count: count, into: values)
                let change = taskVector.pointer + start
                for i in 0..<count { values[i] += T(change[i]) }
                return UnsafePointer(values)
            }
        }
    }
}

extension PlannedTensor {
    /// What a decomposition of the matrix takes, up to a factor.
    fileprivate var cost: Double {
        let dims = output.shape.dims
        return Double(output.elementCount) * Double(dims.min() ?? 0)
    }
}

extension MergeError {
    /// Says which tensor could not be decomposed.
    ///
    /// - Parameter inputs: the tensor in the models in which it holds NaN or infinities.
    init(_ error: DecompositionError, tensor: TensorDescriptor, inputs: [NonFiniteTensor] = []) {
        let name = tensor.name
        let found = inputs.map { "\($0.count.text) in \($0.model.escapingControlCharacters) (\($0.file))" }
        switch error {
        case .notFinite:
            self.init(
                .notFinite,
                found.isEmpty
                    ? "tensor \"\(name)\" has NaN or infinity in its statistics, or differences beyond F32, which would spread "
                        + "over the whole matrix"
                    : "tensor \"\(name)\" holds \(found.joined(separator: ", ")), which would spread over the whole matrix",
                tensor: name, hint: "list it with --set matrix_exclude=NAME, or see `untangle inspect --stats`")
        case .tooLarge:
            self.init(
                .memory, "tensor \"\(name)\" \(tensor.shape) is too large to decompose", tensor: name,
                hint: "list it with --set matrix_exclude=NAME")
        case .notConverged(let info):
            self.init(
                .notConverged,
                "the decomposition of tensor \"\(name)\" \(tensor.shape) did not converge (info \(info))",
                tensor: name, hint: "list it with --set matrix_exclude=NAME")
        }
    }
}
