public import Kernels
public import Networks
public import TensorCore

/// Trains one merged model to say under every head what the expert of that head says.
///
///     L = E_x Σ_t dist(h_t f(x; expert_t), h_t f(x; student))
///
/// That is the cross-task interference of the student on auxiliary inputs.
public struct Distiller: Sendable {
    /// The tasks whose experts are the teachers.
    public let tasks: [TaskHead]
    /// How the student is trained, with what depends on the network settled.
    public var options: ResolverOptions { training.options }
    private let training: StudentTraining
    private let network: any Network
    private let objective: TeacherObjective
    /// What an expert took to compute the outputs of one input.
    private let secondsPerInput: Double

    /// Computes the outputs of every expert under its own head for the auxiliary inputs that the steps will use.
    ///
    /// - Parameters:
    ///   - auxiliary: unlabelled inputs of any kind.
    ///   - options: those of the interference term have no effect, as there is none.
    ///   - frozen: what stays as merging has made it.
    ///   - expert: gives the parameter vector of an expert by the number of its task; one is in memory at a time.
    /// - Throws: `NetworkError` when sizes do not fit, `InterferenceError` for an option out of range, `IOError` when
    ///   memory is short; what `expert` throws.
    public init(
        network: any Network, tasks: [TaskHead], auxiliary: InputSet, options: ResolverOptions = ResolverOptions(),
        frozen: FrozenParameters = FrozenParameters(), budget: ComputeBudget, expert: (Int) throws -> FloatBuffer
    ) throws {
        let training = try StudentTraining(
            network: network, tasks: tasks, auxiliary: auxiliary, options: options, frozen: frozen, budget: budget)
        self.training = training
        self.network = network
        self.tasks = tasks
        var seconds = 0.0
        let teachers = try tasks.enumerated().map { number, task in
            let parameters = try expert(number)
            try network.check(parameters: parameters)
            let start = ContinuousClock.now
            let logits = try training.teachers.logits(of: parameters, under: HeadBank([task.head]))
            seconds += (ContinuousClock.now - start) / .seconds(1)
            return HeadTeacher(
                logits: logits, stride: task.head.classCount, offset: 0, term: .preservation, weight: 1)
        }
        secondsPerInput = seconds / Double(tasks.count * training.teachers.rows.count)
        objective = TeacherObjective(bank: training.bank, teachers: teachers, options: training.options)
    }

    /// The seconds that the steps will take if every one is taken, judged by the time that the experts took.
    ///
    /// - Parameter step: the step that it goes on from.
    public func expectedSeconds(from step: Int = 0) -> Double {
        training.expectedSeconds(secondsPerInput, from: step)
    }

    /// Trains a merged model.
    ///
    /// - Parameters:
    ///   - merged: its parameter vector, which is used up: it becomes the student's.
    ///   - base: the pretrained parameter vector, for a rate by the distance from it; nil where the options have a rate.
    ///   - state: where an earlier run stood, with these options, models and inputs. Nil begins at the merged model.
    ///   - saving: who keeps states on the way.
    ///   - progress: called after each step with that step's loss; false stops the run.
    /// - Precondition: the state has the model's layout, and at most as many steps as the options; there is a rate or a base.
    /// - Throws: as `Resolver.resolve`.
    public func distil(
        merged: FloatBuffer, base: FloatBuffer?, from state: consuming ResolverState? = nil,
        saving: Resolver.Saving? = nil, progress: (ResolverStep) -> Bool = { _ in true }
    ) throws -> TrainedStudent {
        try network.check(parameters: merged)
        return try training.train(
            merged, called: Self.name, objective, learningRate: training.learningRate(of: merged, from: base),
            from: state, saving: saving, progress: progress)
    }

    /// The loss of the first batch and its gradient by the parameters, at the merged model itself; zeros where it is frozen.
    ///
    /// - Shapes: the gradient is like the parameter vector.
    /// - Throws: as `distil`.
    public func firstGradient(merged: FloatBuffer) throws -> (step: ResolverStep, gradient: [Float]) {
        try network.check(parameters: merged)
        return try training.firstGradient(merged, called: Self.name, objective)
    }

    private static let name = "the merged model"
}
