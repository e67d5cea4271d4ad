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
    /// Whether the progress callback asked to stop before the last step.
    public let isCancelled: Bool
}

/// Adapts experts so that each keeps its own head's outputs and the base's outputs under all other heads.
///
/// Made once for a set of tasks, because what the base says is the same for every expert. Only the backbone is trained,
/// all of its tensors; heads stay frozen.
///
/// A batch is split in a fixed number of shards whose gradients and losses are added in order, so the result does not
/// depend on the number of threads.
public struct Resolver: Sendable {
    public let tasks: [TaskHead]
    public let options: ResolverOptions
    private let network: any Network
    private let auxiliary: InputSet
    private let bank: HeadBank
    private let teachers: TeacherOutputs
    private let batches: AuxiliaryBatches
    private let budget: ComputeBudget

    /// Computes the outputs of the base under all heads for the auxiliary inputs that the steps will use.
    ///
    /// - Parameters:
    ///   - base: the pretrained parameter vector, of the network's layout.
    ///   - tasks: all tasks, also those whose experts are not adapted: their heads are in the loss.
    ///   - auxiliary: unlabelled inputs of any kind but the tasks' own.
    /// - Throws: `NetworkError` when sizes do not fit, `InterferenceError` for an option out of range, `IOError` when
    ///   memory is short.
    public init(
        network: any Network, base: FloatBuffer, tasks: [TaskHead], auxiliary: InputSet,
        options: ResolverOptions = ResolverOptions(), budget: ComputeBudget
    ) throws {
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
        bank = HeadBank(tasks.map(\.head))
        batches = AuxiliaryBatches(
            inputCount: auxiliary.count, batchSize: options.batchSize, order: options.order)
        let shardCount = options.shardCount(parameterCount: network.parameterCount)
        teachers = try TeacherOutputs(
            network, base: base, bank: bank, auxiliary: auxiliary, batches: batches, steps: options.steps,
            chunkSize: (options.batchSize + shardCount - 1) / shardCount, budget: budget)
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
    ///   `IOError` for sizes and memory.
    public func resolve(
        expert: FloatBuffer, task: Int, from state: consuming ResolverState? = nil, saving: Saving? = nil,
        progress: (ResolverStep) -> Bool = { _ in true }
    ) throws -> ResolvedExpert {
        let objective = try objective(expert: expert, task: task)
        let begin = try state.take() ?? ResolverState(startingAt: expert)
        var trace = begin.trace
        precondition(
            begin.parameters.count == expert.count && trace.count <= options.steps, "the state of something else")
        let state = try TrainingState(
            network, auxiliary, from: begin, bank: bank, options: options, budget: budget)
        let optimizer = AdamW(weightDecay: options.weightDecay)
        var batches = batches
        for step in trace.count..<options.steps {
            let rows = batches.rows(step: step)
            let current = try record(
                state.evaluate(objective, auxiliary, rows: rows, slots: rows.map { teachers.slots[$0] }),
                step, task)
            let factor = options.schedule.factor(step: step, of: options.steps)
            state.update(optimizer, step: step, learningRate: options.learningRate * factor)
            trace.append(current)
            if let saving, saving.isDue(after: trace.count, of: options.steps) {
                try saving.save(state.resolverState(trace: trace))
            }
            guard progress(current) else { break }
        }
        let parameters = state.parameters
        // No loss has seen the last update.
        guard isFinite(parameters.pointer, count: parameters.count) else {
            throw InterferenceError(
                .diverged,
                "expert \"\(tasks[task].name)\": the weights after step \(trace.count) of \(options.steps) are not finite",
                hint: "lower the learning rate \(options.learningRate)")
        }
        return ResolvedExpert(parameters: parameters, trace: trace, isCancelled: trace.count < options.steps)
    }

    /// The loss of the first batch and its gradient by the parameters, at the expert itself.
    ///
    /// - Shapes: the gradient is like the parameter vector.
    /// - Throws: as `resolve`.
    public func firstGradient(expert: FloatBuffer, task: Int) throws -> (step: ResolverStep, gradient: [Float]) {
        let objective = try objective(expert: expert, task: task)
        let state = try TrainingState(
            network, auxiliary, from: ResolverState(startingAt: expert), bank: bank, options: options, budget: budget)
        var batches = batches
        let rows = batches.rows(step: 0)
        let terms = state.evaluate(objective, auxiliary, rows: rows, slots: rows.map { teachers.slots[$0] })
        return (try record(terms, 0, task), state.gradient())
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

    private func record(_ terms: LossTerms, _ step: Int, _ task: Int) throws(InterferenceError) -> ResolverStep {
        let loss = terms.preservation + options.alpha * terms.interference
        guard loss.isFinite else {
            throw InterferenceError(
                .diverged,
                "expert \"\(tasks[task].name)\": the loss of step \(step + 1) of \(options.steps) is \(loss)",
                hint: "lower the learning rate \(options.learningRate), or check the inputs for NaN")
        }
        return ResolverStep(
            step: step, loss: loss, preservation: terms.preservation, interference: terms.interference)
    }
}
