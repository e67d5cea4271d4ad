public import Kernels
public import Networks
public import TensorCore

/// The loss of one step, before the update of that step.
public struct ResolverStep: Sendable, Hashable {
    /// From 0.
    public let step: Int
    /// `preservation + alpha * interference`.
    public let loss: Double
    /// The distance from the expert under its own head.
    public let preservation: Double
    /// The mean distance from the base under the other heads; 0 where there is none.
    public let interference: Double

    package init(step: Int, loss: Double, preservation: Double, interference: Double) {
        self.step = step
        self.loss = loss
        self.preservation = preservation
        self.interference = interference
    }
}

/// An expert after Resolving Interference.
public struct ResolvedExpert: Sendable {
    /// The adapted parameter vector.
    public let parameters: FloatBuffer
    /// Every step that was taken.
    public let trace: [ResolverStep]
    /// The losses on held-out inputs; empty without early stopping.
    public let heldOut: [HeldOutLoss]
    /// The steps after which the parameters are those given here: with early stopping where the loss on held-out inputs was lowest.
    public let keptStep: Int
    /// The full rate, that of the options or the one that was chosen for this expert.
    public let learningRate: Double
    /// Whether the progress callback asked to stop before the last step.
    public let isCancelled: Bool
}

/// Adapts experts so that each keeps its own head's outputs and the base's outputs under all other heads.
///
/// Made once for a set of tasks, because what the base says is the same for every expert. Only the backbone is trained,
/// all of its tensors; heads stay frozen.
///
/// A batch is split in a fixed number of shards whose gradients and losses are added in order, so the result does not
/// depend on the number of threads. Each shard takes as many inputs at a time as there is room for, and adds their gradients up.
public struct Resolver: Sendable {
    public let tasks: [TaskHead]
    public let options: ResolverOptions
    private let network: any Network
    private let auxiliary: InputSet
    private let bank: HeadBank
    private let teachers: TeacherOutputs
    private let split: AuxiliarySplit
    private let batches: AuxiliaryBatches
    private let plan: BatchPlan
    private let budget: ComputeBudget
    /// Kept where rates are chosen by the distance from it.
    private let base: FloatBuffer?
    /// What the base took to compute the outputs of one input.
    private let secondsPerInput: Double

    /// Computes the outputs of the base under all heads for the auxiliary inputs that the steps will use.
    ///
    /// - Parameters:
    ///   - base: the pretrained parameter vector, of the network's layout.
    ///   - tasks: all tasks, also those whose experts are not adapted: their heads are in the loss.
    ///   - auxiliary: unlabelled inputs of any kind but the tasks' own.
    /// - Throws: `NetworkError` when sizes do not fit, `InterferenceError` for an option out of range, `IOError` when
    ///   memory is short; what reading a stream throws.
    public init(
        network: any Network, base: FloatBuffer, tasks: [TaskHead], auxiliary: InputSet,
        options: ResolverOptions = ResolverOptions(), budget: ComputeBudget
    ) throws {
        let options = options.settled(for: network)
        try options.validate()
        guard !tasks.isEmpty else { throw InterferenceError(.badOption, "there is no task") }
        for task in tasks { try network.check(task.head, name: task.name) }
        try network.check(parameters: base)
        try network.input.check(auxiliary)
        self.network = network
        self.tasks = tasks
        self.auxiliary = auxiliary
        self.options = options
        self.budget = budget
        self.base = options.learningRate == nil ? base : nil
        bank = HeadBank(tasks.map(\.head))
        let split = try AuxiliarySplit(inputCount: auxiliary.count, options: options)
        self.split = split
        batches = AuxiliaryBatches(
            inputCount: split.training.count, batchSize: options.batchSize, order: options.order)
        plan = BatchPlan(options, network, tokenCount: network.tokenCount(of: auxiliary))
        let used = batches.usedRows(steps: options.steps).map { split.training[$0] }
        let start = ContinuousClock.now
        teachers = try TeacherOutputs(
            network, base: base, bank: bank, auxiliary: auxiliary, rows: (used + split.heldOut).sorted(),
            chunkSize: plan.pieceSize, budget: budget)
        secondsPerInput = (ContinuousClock.now - start) / .seconds(1) / Double(teachers.rows.count)
    }

    /// The seconds that adapting one expert will take if every step is taken, judged by the time that the base took: forward and backward
    /// pass of a student are three passes forward, and the expert's own outputs and checks one each.
    ///
    /// - Parameter step: the step that it goes on from.
    public func expectedSeconds(from step: Int = 0) -> Double {
        let steps = options.steps - step
        let checks = options.patience > 0 ? steps / options.checkEvery + 1 : 0
        // In double precision, where the largest options do not overflow.
        let passes =
            Double(teachers.rows.count) + 3 * Double(steps) * Double(options.batchSize)
            + Double(checks) * Double(split.heldOut.count)
        return secondsPerInput * passes
    }

    /// Adapts one expert.
    ///
    /// - Parameters:
    ///   - expert: its parameter vector, which is used up: it becomes the student's.
    ///   - task: its number among `tasks`.
    ///   - state: where an earlier adaptation of this expert stood, with these options and inputs; the result is then bit for bit that
    ///     of an adaptation without interruption. Nil begins at the expert.
    ///   - saving: who keeps states on the way.
    ///   - progress: called after each step with that step's loss; false stops the run.
    /// - Precondition: the state has the expert's layout, and at most as many steps as the options.
    /// - Throws: `InterferenceError` `interference.diverged` when the loss or a weight is no longer a number; `NetworkError` or
    ///   `IOError` for sizes and memory; what reading a stream throws.
    public func resolve(
        expert: FloatBuffer, task: Int, from state: consuming ResolverState? = nil, saving: Saving? = nil,
        progress: (ResolverStep) -> Bool = { _ in true }
    ) throws -> ResolvedExpert {
        let objective = try objective(expert: expert, task: task)
        let learningRate = learningRate(of: expert)
        let begin = try state.take() ?? ResolverState(startingAt: expert, checksHeldOut: options.patience > 0)
        var (trace, heldOut) = (begin.trace, begin.heldOut)
        precondition(
            begin.parameters.count == expert.count && trace.count <= options.steps
                && (heldOut != nil) == (options.patience > 0), "the state of something else")
        let state = try TrainingState(network, auxiliary, from: begin, bank: bank, plan: plan, budget: budget)
        let optimizer = AdamW(weightDecay: options.weightDecay)
        var batches = batches
        let loader = BatchLoader(auxiliary)
        if heldOut?.losses.isEmpty == true { try check(&heldOut, state, objective, step: 0, task) }
        var isCancelled = false
        var isDone: Bool { trace.count == options.steps || heldOut?.hasPlateau(patience: options.patience) == true }
        while !isDone, !isCancelled {
            let step = trace.count
            let rows = batches.rows(step: step).map { split.training[$0] }
            let batch = try loader.load(
                rows, next: step + 1 < options.steps ? batches.rows(step: step + 1).map { split.training[$0] } : nil)
            let current = try record(
                state.evaluate(objective, batch, slots: teachers.slots(of: rows)), state, step, task)
            let isFinite = state.update(
                optimizer, step: step,
                learningRate: learningRate
                    * options.schedule.factor(step: step, of: options.steps, warmup: options.warmupSteps),
                clipNorm: options.clipNorm > 0 ? options.clipNorm : nil)
            guard isFinite else {
                throw diverged(
                    "the gradient of step \(step + 1)", task, tensor: state.firstNonFiniteGradient(network.layout))
            }
            trace.append(current)
            if trace.count.isMultiple(of: options.checkEvery) || trace.count == options.steps {
                try check(&heldOut, state, objective, step: trace.count, task)
            }
            if let saving, saving.isDue(after: trace.count, isLast: isDone) {
                try saving.save(state.resolverState(trace: trace, heldOut: heldOut))
            }
            isCancelled = !progress(current) && !isDone
        }
        // No loss has seen the last update.
        if let tensor = network.layout.firstNonFiniteTensor(in: state.parameters.pointer) {
            throw diverged("the student after step \(trace.count)", task, tensor: tensor)
        }
        return ResolvedExpert(
            parameters: heldOut?.best ?? state.parameters, trace: trace, heldOut: heldOut?.losses ?? [],
            keptStep: heldOut?.keptStep ?? trace.count, learningRate: learningRate, isCancelled: isCancelled)
    }

    /// The full rate of an expert.
    private func learningRate(of expert: FloatBuffer) -> Double {
        if let rate = options.learningRate { return rate }
        guard let base else { preconditionFailure("the base is kept where no rate is given") }
        // Squares are added up by stretch and the stretches in their order, for any number of threads.
        let stretch = 1 << 16
        let sum = parallelMap(count: (expert.count + stretch - 1) / stretch, threads: budget.threads) { number in
            (number * stretch..<min(expert.count, (number + 1) * stretch)).reduce(0.0) { sum, place in
                let change = Double(expert.pointer[place]) - Double(base.pointer[place])
                return sum + change * change
            }
        }.reduce(0, +)
        return ResolverOptions.relativeLearningRate * (sum / Double(max(expert.count, 1))).squareRoot()
    }

    /// Takes the loss on held-out inputs, where there are any.
    private func check(
        _ heldOut: inout HeldOutChecks?, _ state: TrainingState, _ objective: InterferenceObjective, step: Int,
        _ task: Int
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
        let loss = terms.preservation + options.alpha * terms.interference
        guard loss.isFinite else {
            throw diverged(
                "the loss on held-out inputs after step \(step)", task, is: loss,
                tensor: network.layout.firstNonFiniteTensor(in: state.parameters.pointer))
        }
        heldOut?.add(HeldOutLoss(step: step, loss: loss), of: state.parameters)
    }

    /// The loss of the first batch and its gradient by the parameters, at the expert itself.
    ///
    /// - Shapes: the gradient is like the parameter vector.
    /// - Throws: as `resolve`.
    public func firstGradient(expert: FloatBuffer, task: Int) throws -> (step: ResolverStep, gradient: [Float]) {
        let objective = try objective(expert: expert, task: task)
        let state = try TrainingState(
            network, auxiliary, from: ResolverState(startingAt: expert), bank: bank, plan: plan, budget: budget)
        var batches = batches
        let rows = batches.rows(step: 0).map { split.training[$0] }
        let terms = state.evaluate(objective, try auxiliary.loaded(rows), slots: teachers.slots(of: rows))
        return (try record(terms, state, 0, task), state.gradient())
    }

    private func objective(expert: FloatBuffer, task: Int) throws -> InterferenceObjective {
        precondition(tasks.indices ~= task, "the expert belongs to no task")
        try network.check(parameters: expert)
        let own = try teachers.outputs(
            of: expert, under: tasks[task].head, network, auxiliary: auxiliary, budget: budget)
        return InterferenceObjective(
            bank: bank, own: task, alpha: options.alpha, distance: options.distance, baseLogits: teachers.base,
            ownLogits: own)
    }

    private func record(
        _ terms: LossTerms, _ state: TrainingState, _ step: Int, _ task: Int
    ) throws(InterferenceError) -> ResolverStep {
        let loss = terms.preservation + options.alpha * terms.interference
        guard loss.isFinite else {
            throw diverged(
                "the loss of step \(step + 1)", task, is: loss,
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
        _ part: String, _ task: Int, is value: Double? = nil, tensor: TensorName?
    ) -> InterferenceError {
        let state =
            switch (value, tensor) {
            case (let value?, let tensor?): "is \(value), as the weights are not finite, first in \"\(tensor)\""
            case (let value?, nil): "is \(value), although all weights are finite"
            case (nil, let tensor?): "holds NaN or infinity, first in \"\(tensor)\""
            case (nil, nil): "holds NaN or infinity"
            }
        return InterferenceError(
            .diverged, "expert \"\(tasks[task].name)\": \(part) of \(options.steps) \(state)", tensor: tensor,
            hint:
                "lower the learning rate or the weight decay; at the first step look at the expert's weights and the inputs"
        )
    }
}
