public import Kernels
public import Networks
public import TensorCore

/// Adapts experts so that each keeps its own head's outputs and the base's outputs under all other heads.
///
/// Made once for a set of tasks, because what the base says is the same for every expert.
public struct Resolver: Sendable {
    public let tasks: [TaskHead]
    public var options: ResolverOptions { training.options }
    private let training: StudentTraining
    private let network: any Network
    /// The base under every head, `[rows, K]`.
    private let baseLogits: FloatBuffer
    /// Kept where rates are chosen by the distance from it, or students begin elsewhere than at the expert.
    private let base: FloatBuffer?
    /// What the base took to compute the outputs of one input; nil where they were kept.
    private let secondsPerInput: Double?

    /// Gives the outputs of the base, `[rows, K]`: those that somebody has kept, or those that it is handed the means to compute.
    public typealias BaseOutputs = (_ shape: Shape, _ compute: () throws -> FloatBuffer) throws -> FloatBuffer

    /// Computes the outputs of the base under all heads for the auxiliary inputs that the steps will use.
    ///
    /// - Parameters:
    ///   - base: the pretrained parameter vector, of the network's layout.
    ///   - tasks: all tasks, also those whose experts are not adapted: their heads are in the loss.
    ///   - auxiliary: unlabelled inputs of any kind but the tasks' own.
    ///   - frozen: what stays the expert's own.
    ///   - outputs: asked once for the outputs of the base.
    /// - Throws: `NetworkError` when sizes do not fit, `InterferenceError` for an option out of range, `IOError` when
    ///   memory is short; what reading a stream throws, and what `outputs` throws.
    public init(
        network: any Network, base: FloatBuffer, tasks: [TaskHead], auxiliary: InputSet,
        options: ResolverOptions = ResolverOptions(), frozen: FrozenParameters = FrozenParameters(),
        budget: ComputeBudget, outputs: BaseOutputs = { _, compute in try compute() }
    ) throws {
        let training = try StudentTraining(
            network: network, tasks: tasks, auxiliary: auxiliary, options: options, frozen: frozen, budget: budget)
        try network.check(parameters: base)
        self.training = training
        self.network = network
        self.tasks = tasks
        self.base = training.options.needsBase ? base : nil
        let (rows, classes) = (training.teachers.rows.count, training.bank.classCount)
        var seconds: Double?
        baseLogits = try outputs([rows, classes]) {
            let start = ContinuousClock.now
            defer { seconds = (ContinuousClock.now - start) / .seconds(1) }
            return try training.teachers.logits(of: base, under: training.bank)
        }
        precondition(baseLogits.count == rows * classes, "the outputs of something else")
        secondsPerInput = seconds.map { $0 / Double(rows) }
    }

    /// The seconds that adapting one expert will take if every step is taken, judged by the time that the base took; nil where its
    /// outputs were kept, and nothing is known of that.
    ///
    /// - Parameter step: the step that it goes on from.
    public func expectedSeconds(from step: Int = 0) -> Double? {
        secondsPerInput.map {
            $0 * Double(training.teachers.rows.count) + training.expectedSeconds($0, from: step)
        }
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
    ) throws -> TrainedStudent {
        let objective = try objective(expert: expert, task: task)
        let learningRate = training.learningRate(of: expert, from: base)
        // What a state goes on from began there.
        if options.startScale != 1, let base { training.scale(expert, from: base, by: options.startScale) }
        return try training.train(
            expert, called: name(of: task), objective, learningRate: learningRate, from: state, saving: saving,
            progress: progress)
    }

    /// The loss of the first batch and its gradient by the parameters, at the expert itself; zeros where it is frozen.
    ///
    /// - Shapes: the gradient is like the parameter vector.
    /// - Throws: as `resolve`.
    public func firstGradient(expert: FloatBuffer, task: Int) throws -> (step: ResolverStep, gradient: [Float]) {
        try training.firstGradient(expert, called: name(of: task), try objective(expert: expert, task: task))
    }

    private func name(of task: Int) -> String { "expert \"\(tasks[task].name)\"" }

    /// The expert as the teacher of its own head, and the base as that of the others, whose mean is the interference.
    private func objective(expert: FloatBuffer, task: Int) throws -> TeacherObjective {
        precondition(tasks.indices ~= task, "the expert belongs to no task")
        try network.check(parameters: expert)
        let own = HeadBank([tasks[task].head])
        let ownLogits = try training.teachers.logits(of: expert, under: own)
        let bank = training.bank
        let teachers = bank.columns.enumerated().map { head, columns in
            head == task
                ? HeadTeacher(
                    logits: ownLogits, stride: own.classCount, offset: 0, term: .preservation, weight: 1)
                : HeadTeacher(
                    logits: baseLogits, stride: bank.classCount, offset: columns.lowerBound, term: .interference,
                    weight: 1 / Double(tasks.count - 1))
        }
        return TeacherObjective(bank: bank, teachers: teachers, options: options)
    }
}
