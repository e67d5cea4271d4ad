import Kernels
import Networks
import TensorCore

/// The loop that trains a student on what teachers say, which knows neither who the teachers are nor what they are for.
///
/// Only the backbone is trained, all of its tensors but those that are frozen; heads stay as they are.
///
/// A batch is split in a fixed number of shards whose gradients and losses are added in order, so the result does not
/// depend on the number of threads. Each shard takes as many inputs at a time as there is room for, and adds their gradients up.
struct StudentTraining: Sendable {
    let options: ResolverOptions
    let bank: HeadBank
    /// Over the auxiliary inputs that the steps and checks will use.
    let teachers: TeacherOutputs
    private let network: any Network
    private let auxiliary: InputSet
    private let frozen: FrozenParameters
    private let split: AuxiliarySplit
    /// The inputs that the steps will use.
    private let trainingRows: [Int]
    private let batches: AuxiliaryBatches
    private let plan: BatchPlan
    private let budget: ComputeBudget

    /// Checks what is given and divides the inputs.
    ///
    /// - Throws: `NetworkError` when sizes do not fit, `InterferenceError` for an option out of range.
    init(
        network: any Network, tasks: [TaskHead], auxiliary: InputSet, options: ResolverOptions,
        frozen: FrozenParameters, budget: ComputeBudget
    ) throws {
        let options = options.settled(for: network)
        try options.validate()
        guard !tasks.isEmpty else { throw InterferenceError(.badOption, "there is no task") }
        for task in tasks { try network.check(task.head, name: task.name) }
        guard !frozen.trained(of: network.parameterCount).isEmpty else {
            throw InterferenceError(.badOption, "every tensor is frozen, and nothing is left to train")
        }
        try network.input.check(auxiliary)
        self.network = network
        self.auxiliary = auxiliary
        self.options = options
        self.frozen = frozen
        self.budget = budget
        bank = HeadBank(tasks.map(\.head))
        let split = try AuxiliarySplit(inputCount: auxiliary.count, options: options)
        self.split = split
        batches = AuxiliaryBatches(
            inputCount: split.training.count, batchSize: options.batchSize, order: options.order)
        plan = BatchPlan(options, network, tokenCount: network.tokenCount(of: auxiliary))
        trainingRows = batches.usedRows(steps: options.steps).map { split.training[$0] }
        teachers = TeacherOutputs(
            network, auxiliary: auxiliary, rows: (trainingRows + split.heldOut).sorted(), chunkSize: plan.pieceSize,
            budget: budget)
    }

    /// The seconds that training takes if every step is taken: forward and backward pass of a student are three passes forward, and a check
    /// is one.
    ///
    /// - Parameters:
    ///   - secondsPerInput: what a teacher takes for one input.
    ///   - step: the step that it goes on from.
    func expectedSeconds(_ secondsPerInput: Double, from step: Int) -> Double {
        let steps = options.steps - step
        let checks = options.patience > 0 ? steps / options.checkEvery + 1 : 0
        // In double precision, where the largest options do not overflow.
        let passes =
            3 * Double(steps) * Double(options.batchSize) + Double(checks) * Double(split.heldOut.count)
        return secondsPerInput * passes
    }

    /// The full rate for a model: what the options say, or a share of the root mean square of its distance from the base over the trained weights.
    ///
    /// - Parameter base: nil where the options say it.
    func learningRate(of model: FloatBuffer, from base: FloatBuffer?) -> Double {
        if let rate = options.learningRate { return rate }
        guard let base else { preconditionFailure("the base is kept where no rate is given") }
        // Squares are added up by stretch and the stretches in their order, for any number of threads.
        let stretches = frozen.trained(of: model.count).flatMap { $0.stretches(of: 1 << 16) }
        let sum = parallelMap(count: stretches.count, threads: budget.threads) { number in
            stretches[number].reduce(0.0) { sum, place in
                let change = Double(model.pointer[place]) - Double(base.pointer[place])
                return sum + change * change
            }
        }.reduce(0, +)
        let count = stretches.reduce(0) { $0 + $1.count }
        return ResolverOptions.relativeLearningRate * (sum / Double(max(count, 1))).squareRoot()
    }

    /// Multiplies the distance of a model from the base, as far as it is trained.
    func scale(_ model: FloatBuffer, from base: FloatBuffer, by factor: Double) {
        for range in frozen.trained(of: model.count) {
            for place in range {
                let origin = Double(base.pointer[place])
                model.pointer[place] = Float(origin + factor * (Double(model.pointer[place]) - origin))
            }
        }
    }

    /// Trains a student.
    ///
    /// - Parameters:
    ///   - student: its parameter vector, which is used up.
    ///   - name: what errors call it.
    ///   - state: where an earlier training stood; nil begins at the student.
    ///   - progress: called after each step with that step's loss; false stops the run.
    /// - Precondition: the state has the student's layout, and at most as many steps as the options.
    /// - Throws: `InterferenceError` `interference.diverged` when the loss or a weight is no longer a number; `NetworkError` or
    ///   `IOError` for sizes and memory; what reading a stream throws.
    func train(
        _ student: FloatBuffer, called name: String, _ objective: TeacherObjective, learningRate: Double,
        from state: consuming ResolverState?, saving: Resolver.Saving?, progress: (ResolverStep) -> Bool
    ) throws -> TrainedStudent {
        let begin = try state.take() ?? ResolverState(startingAt: student, checksHeldOut: options.patience > 0)
        var (trace, heldOut) = (begin.trace, begin.heldOut)
        precondition(
            begin.parameters.count == student.count && trace.count <= options.steps
                && (heldOut != nil) == (options.patience > 0), "the state of something else")
        let optimizer = AdamW(weightDecay: options.weightDecay)
        let state = try trainingState(
            from: begin, leavesUnused: optimizer.leavesUnused(learningRate: learningRate))
        var batches = batches
        let loader = BatchLoader(auxiliary)
        if heldOut?.losses.isEmpty == true { try check(&heldOut, state, objective, step: 0, name) }
        var isCancelled = false
        var isDone: Bool { trace.count == options.steps || heldOut?.hasPlateau(patience: options.patience) == true }
        while !isDone, !isCancelled {
            let step = trace.count
            let rows = batches.rows(step: step).map { split.training[$0] }
            let batch = try loader.load(
                rows, next: step + 1 < options.steps ? batches.rows(step: step + 1).map { split.training[$0] } : nil)
            let current = try record(
                state.evaluate(objective, batch, slots: teachers.slots(of: rows)), objective, state, step, name)
            let isFinite = state.update(
                optimizer, step: step,
                learningRate: learningRate
                    * options.schedule.factor(step: step, of: options.steps, warmup: options.warmupSteps),
                clipNorm: options.clipNorm > 0 ? options.clipNorm : nil)
            guard isFinite else {
                throw diverged(
                    "the gradient of step \(step + 1)", name, tensor: state.firstNonFiniteGradient(network.layout))
            }
            trace.append(current)
            if trace.count.isMultiple(of: options.checkEvery) || trace.count == options.steps {
                try check(&heldOut, state, objective, step: trace.count, name)
            }
            if let saving, saving.isDue(after: trace.count, isLast: isDone) {
                try saving.save(state.resolverState(trace: trace, heldOut: heldOut))
            }
            isCancelled = !progress(current) && !isDone
        }
        // No loss has seen the last update.
        if let tensor = network.layout.firstNonFiniteTensor(in: state.parameters.pointer) {
            throw diverged("the student after step \(trace.count)", name, tensor: tensor)
        }
        return TrainedStudent(
            parameters: heldOut?.best ?? state.parameters, trace: trace, heldOut: heldOut?.losses ?? [],
            keptStep: heldOut?.keptStep ?? trace.count, learningRate: learningRate, isCancelled: isCancelled)
    }

    /// The loss of the first batch and its gradient by the parameters, at the student itself; zeros where it is frozen.
    ///
    /// - Shapes: the gradient is like the parameter vector.
    /// - Throws: as `train`.
    func firstGradient(
        _ student: FloatBuffer, called name: String, _ objective: TeacherObjective
    ) throws -> (step: ResolverStep, gradient: [Float]) {
        let state = try trainingState(from: ResolverState(startingAt: student), leavesUnused: true)
        var batches = batches
        let rows = batches.rows(step: 0).map { split.training[$0] }
        let terms = state.evaluate(objective, try auxiliary.loaded(rows), slots: teachers.slots(of: rows))
        return (try record(terms, objective, state, 0, name), state.gradient())
    }

    /// Takes memory for a training.
    ///
    /// - Parameter leavesUnused: whether parameters that no input of any batch uses stay as they are. Their gradients and moments are zero
    ///   throughout, which would be written and read for nothing: half of a small text encoder are words.
    private func trainingState(from start: borrowing ResolverState, leavesUnused: Bool) throws -> TrainingState {
        let unused = leavesUnused ? network.unusedParameters(by: auxiliary, rows: trainingRows) : []
        return try TrainingState(
            network, auxiliary, from: start, bank: bank, resting: FrozenParameters(frozen.ranges + unused), plan: plan,
            budget: budget)
    }

    /// Takes the loss on held-out inputs, where there are any.
    private func check(
        _ heldOut: inout HeldOutChecks?, _ state: TrainingState, _ objective: TeacherObjective, step: Int,
        _ name: String
    ) throws {
        guard heldOut != nil else { return }
        var terms = LossTerms()
        for start in stride(from: 0, to: split.heldOut.count, by: options.batchSize) {
            let rows = Array(split.heldOut[start..<min(start + options.batchSize, split.heldOut.count)])
            terms +=
                state.evaluate(
                    objective, try auxiliary.loaded(rows), slots: teachers.slots(of: rows), needsGradient: false)
                * (Double(rows.count) / Double(split.heldOut.count))
        }
        let loss = objective.loss(terms)
        guard loss.isFinite else {
            throw diverged(
                "the loss on held-out inputs after step \(step)", name, is: loss,
                tensor: network.layout.firstNonFiniteTensor(in: state.parameters.pointer))
        }
        heldOut?.add(HeldOutLoss(step: step, loss: loss), of: state.parameters)
    }

    private func record(
        _ terms: LossTerms, _ objective: TeacherObjective, _ state: TrainingState, _ step: Int, _ name: String
    ) throws(InterferenceError) -> ResolverStep {
        let loss = objective.loss(terms)
        guard loss.isFinite else {
            throw diverged(
                "the loss of step \(step + 1)", name, is: loss,
                tensor: network.layout.firstNonFiniteTensor(in: state.parameters.pointer))
        }
        return ResolverStep(
            step: step, loss: loss, preservation: terms.preservation, interference: terms.interference)
    }

    /// An error about a number that is none.
    ///
    /// - Parameters:
    ///   - part: what was looked at, and when.
    ///   - value: the loss.
    ///   - tensor: the first of the weights, or of their gradient, that is not finite; without one a layer has overflowed.
    private func diverged(
        _ part: String, _ name: String, is value: Double? = nil, tensor: TensorName?
    ) -> InterferenceError {
        let state =
            switch (value, tensor) {
            case (let value?, let tensor?): "is \(value), as the weights are not finite, first in \"\(tensor)\""
            case (let value?, nil): "is \(value), although all weights are finite"
            case (nil, let tensor?): "holds NaN or infinity, first in \"\(tensor)\""
            case (nil, nil): "holds NaN or infinity"
            }
        return InterferenceError(
            .diverged, "\(name): \(part) of \(options.steps) \(state)", tensor: tensor,
            hint:
                "lower the learning rate or the weight decay; at the first step look at the model's weights and the inputs"
        )
    }
}

extension Range<Int> {
    /// The range in pieces of a size, the last of which may be shorter.
    func stretches(of size: Int) -> [Range<Int>] {
        stride(from: lowerBound, to: upperBound, by: size).map { $0..<Swift.min(upperBound, $0 + size) }
    }
}
