import Kernels
import TensorCore

extension MergeLane {
    /// Merges a matrix, or each of a stack.
    func mergeMatrix(_ tensor: PlannedTensor, after survey: (any MergeSurvey)?) throws {
        guard let shape = tensor.output.matrices else { preconditionFailure("the tensor is no matrix") }
        let loaded = try LoadedTensor(tensor, of: plan.models, hasBase: plan.hasBase)
        try loaded.withSources { base, experts in
            guard let base else { preconditionFailure("matrix methods need a base") }
            try look(at: loaded)
            let entries = tensor.plannedRule.map {
                EntrywiseMatrix(
                    $0.make(survey), tensor: tensor.number, elementCount: tensor.output.elementCount, base: base,
                    experts: experts)
            }
            for number in 0..<shape.count {
                let inputs = MatrixInputs(
                    number: number, rows: shape.rows, columns: shape.columns, base: base, experts: experts)
                let change = try Matrix<Float>(rows: shape.rows, columns: shape.columns)
                do {
                    entries?.readChange(of: number, into: change)
                    if case .matrix(let rule, _) = tensor.work, let remark = try rule.merge(inputs, into: change) {
                        log.note(remark, on: tensor.number, number: number)
                    }
                    try tensor.correction?.correct(change, of: inputs)
                } catch let error as DecompositionError {
                    throw MergeError(
                        error, tensor: tensor.output, inputs: log.notFinite(in: tensor.number),
                        isCorrected: tensor.correction != nil)
                }
                try write(base, plus: change, number: number, to: tensor)
            }
        }
    }

    /// Counts NaN and infinities in a tensor of every model.
    ///
    /// - Parameter elements: those that are looked at; nil for all.
    func look(at tensor: LoadedTensor, elements: Range<Int>? = nil) throws {
        let elements = elements ?? tensor.elements
        let counts = try tensor.withModels { sources in
            try sources.enumerated().map { model, source in
                guard let ledger else {
                    return source.countNonFinite(from: elements.lowerBound, count: elements.count)
                }
                return try ledger.read(tensor, elements, model: model).nonFinite
            }
        }
        log.add(counts, to: tensor.planned.number)
    }

    /// Writes the base plus a merged task vector, of the tensor or of one matrix of a stack.
    ///
    /// - Parameter number: its place in the stack.
    func write(
        _ base: MergeSource, plus taskVector: Matrix<Float>, number: Int, to tensor: PlannedTensor
    ) throws {
        let elements = number * taskVector.count..<(number + 1) * taskVector.count
        if tensor.needsDouble {
            try write(base, plus: taskVector, elements, to: tensor, in: Double.self)
        } else {
            try write(base, plus: taskVector, elements, to: tensor, in: Float.self)
        }
    }

    private func write<T: ElementwiseScalar>(
        _ base: MergeSource, plus taskVector: Matrix<Float>, _ elements: Range<Int>, to tensor: PlannedTensor,
        in scalar: T.Type
    ) throws {
        try withUnsafeTemporaryAllocation(of: T.self, capacity: mergeBlockCapacity) { memory in
            let values = memory.baseAddress!
            try write(elements, of: tensor) { start, count in
                base.read(from: start, count: count, into: values)
                let change = taskVector.pointer + (start - elements.lowerBound)
                for i in 0..<count { values[i] += T(change[i]) }
                return UnsafePointer(values)
            }
        }
    }
}

extension PlannedTensor {
    /// What a decomposition of the matrix takes, up to a factor.
    var cost: Double {
        Double(output.elementCount) * Double(output.matrices.map { min($0.rows, $0.columns) } ?? 0)
    }
}

extension MergeError {
    /// Says which tensor could not be decomposed.
    ///
    /// - Parameters:
    ///   - inputs: the tensor in the models in which it holds NaN or infinities.
    ///   - isCorrected: whether parameters ask for the spectrum of its change.
    init(
        _ error: DecompositionError, tensor: TensorDescriptor, inputs: [NonFiniteTensor] = [], isCorrected: Bool = false
    ) {
        let name = tensor.name
        let remedy =
            isCorrected ? "do without svc_alpha and boost_beta there" : "list it with --set matrix_exclude=NAME"
        let found = inputs.map { "\($0.count.text) in \($0.model.escapingControlCharacters) (\($0.file))" }
        switch error {
        case .notFinite:
            self.init(
                .notFinite,
                found.isEmpty
                    ? "tensor \"\(name)\" has NaN or infinity in its statistics, or differences beyond F32, which would spread "
                        + "over the whole matrix"
                    : "tensor \"\(name)\" holds \(found.joined(separator: ", ")), which would spread over the whole matrix",
                tensor: name, hint: "\(remedy), or see `untangle inspect --stats`")
        case .tooLarge:
            self.init(
                .memory, "tensor \"\(name)\" \(tensor.shape) is too large to decompose", tensor: name,
                hint: remedy)
        case .notConverged(let info):
            self.init(
                .notConverged,
                "the decomposition of tensor \"\(name)\" \(tensor.shape) did not converge (info \(info))",
                tensor: name, hint: remedy)
        }
    }
}
