import ArgumentParser
import Experts
import Interference
import Networks

/// How a model is trained on what teachers say, of adapting experts and of distilling.
struct ResolverFlags: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            Unlabelled inputs: a folder, .tar or .zip of pictures, a .txt, .tsv or .jsonl of texts, an .npz with "images" [N, C, H, W] \
            or "input_ids" [N, T]; or what is made on the spot: "shapes" or "noise" for images, "tokens" for texts.
            """,
            valueName: "data"))
    var auxiliary: String?

    @Option(
        parsing: .unconditional, help: ArgumentHelp("How many inputs are made on the spot.", valueName: "n"))
    var auxiliaryCount = GeneratedInputs.defaultCount

    @Option(.steps) var steps: Int?
    @Option(.batchSize) var batchSize: Int?
    @Option(.microBatchSize) var microBatchSize: AutomaticNumber<Int>?
    @Option(.learningRate) var learningRate: AutomaticNumber<Double>?
    @Option(.weightDecay) var weightDecay: Double?
    @Option(.distance) var distance: Distance?
    @Option(.teacherTemperature) var teacherTemperature: Double?
    @Option(.studentTemperature) var studentTemperature: Double?

    @Option(
        parsing: .singleValue,
        help: ArgumentHelp(
            "Do not train the tensors whose names in the base match this shell pattern; repeatable.",
            valueName: "pattern"))
    var freeze: [String] = []

    @Option(.schedule) var schedule: LearningRateSchedule?
    @Option(.warmupSteps) var warmupSteps: Int?
    @Option(.clipNorm) var clipNorm: Double?
    @Option(.patience) var patience: Int?
    @Option(.checkEvery) var checkEvery: Int?
    @Option(.holdout) var holdout: Double?
    @Flag(.shuffle) var shuffle = false
    @Option(.seed) var seed: UInt64?

    /// The options, where nothing is said those of `start`.
    func options(from start: ResolverOptions = ResolverOptions()) -> ResolverOptions {
        var options = start
        if let steps { options.steps = steps }
        if let batchSize { options.batchSize = batchSize }
        if let microBatchSize { options.microBatchSize = microBatchSize.value }
        if let learningRate { options.learningRate = learningRate.value }
        if let weightDecay { options.weightDecay = weightDecay }
        if let distance { options.distance = distance }
        if let teacherTemperature { options.temperatures.teacher = teacherTemperature }
        if let studentTemperature { options.temperatures.student = studentTemperature }
        if !freeze.isEmpty { options.freeze = freeze }
        if let schedule { options.schedule = schedule }
        if let warmupSteps { options.warmupSteps = warmupSteps }
        if let clipNorm { options.clipNorm = clipNorm }
        if let patience { options.patience = patience }
        if let checkEvery { options.checkEvery = checkEvery }
        if let holdout { options.holdout = holdout }
        if shuffle { options.shuffle = true }
        if let seed { options.seed = seed }
        return options
    }

    /// Nil where none are given.
    private var source: AuxiliarySource? {
        auxiliary.map { AuxiliarySource($0, count: auxiliaryCount, seed: options().seed) }
    }

    /// Where the inputs come from; nil where options look at none.
    ///
    /// - Throws: a usage error when none are given that are needed, or the reverse.
    func source(for options: ResolverOptions) throws(UsageError) -> AuxiliarySource? {
        guard options.needsAuxiliary else {
            guard source == nil else {
                throw UsageError(
                    "--solver gram looks at heads alone, and at no auxiliary inputs", hint: "leave out --auxiliary")
            }
            return nil
        }
        guard let source else {
            throw UsageError(
                "there are no auxiliary inputs",
                hint: "add --auxiliary DATA, or one of "
                    + GeneratedInputs.Kind.allCases.map(\.rawValue).joined(separator: ", "))
        }
        return source
    }

    func validate() throws {
        guard auxiliary != "" else { throw ValidationError("--auxiliary has no file") }
        let counts = GeneratedInputs.counts
        guard counts.contains(auxiliaryCount) else {
            throw ValidationError("--auxiliary-count must lie between \(counts.lowerBound) and \(counts.upperBound)")
        }
    }
}

/// What of the options belongs to Resolving Interference alone.
struct InterferenceFlags: ParsableArguments {
    @Option(help: "A recipe to start from: paper (2500 steps of 128, ViT-L/14 of 32, at 1e-6).")
    var preset: ResolverPreset?

    @Option(.solver) var solver: ResolverSolver?
    @Option(.match) var match: ResolverMatch?
    @Option(.alpha) var alpha: Double?
    @Option(.ridge) var ridge: Double?
    @Option(.driftShare) var driftShare: Double?
    @Option(.startScale) var startScale: Double?

    /// What other options are laid over.
    var options: ResolverOptions {
        var options = preset?.options ?? ResolverOptions()
        if let solver { options.solver = solver }
        if let match { options.match = match }
        if let alpha { options.alpha = alpha }
        if let ridge { options.ridge = ridge }
        if let driftShare { options.driftShare = driftShare }
        if let startScale { options.startScale = startScale }
        return options
    }
}

/// A number, or the word for one that the program chooses.
struct AutomaticNumber<Number: ExpressibleByArgument & Sendable>: ExpressibleByArgument {
    /// Nil where the program chooses.
    let value: Number?

    init?(argument: String) {
        guard argument != ResolverOption.automatic else {
            value = nil
            return
        }
        guard let number = Number(argument: argument) else { return nil }
        value = number
    }
}

extension Option {
    /// An option of the resolver as it is declared. Numbers may have a minus sign, so that ranges are told.
    fileprivate init<Argument: ExpressibleByArgument>(_ option: ResolverOption) where Value == Argument? {
        self.init(
            name: .customLong(option.flag), parsing: option.isNumber ? .unconditional : .next,
            help: ArgumentHelp(
                "\(option.help) (default: \(option.defaultText)).", valueName: option.valueName))
    }
}

extension Flag where Value == Bool {
    fileprivate init(wrappedValue: Bool, _ option: ResolverOption) {
        self.init(wrappedValue: wrappedValue, name: .customLong(option.flag), help: "\(option.help).")
    }
}

extension ResolverOption {
    fileprivate var flag: String { name.split(separator: "_").joined(separator: "-") }

    /// Nil takes the option's name.
    fileprivate var valueName: String? {
        switch kind {
        case .wholeNumber, .automaticWholeNumber, .seed: "n"
        case .number, .automaticNumber: "x"
        case .flag, .choice, .patterns: nil
        }
    }

    fileprivate var isNumber: Bool { valueName != nil }
}

extension ResolverPreset: ExpressibleByArgument {}
extension ResolverSolver: ExpressibleByArgument {}
extension ResolverMatch: ExpressibleByArgument {}
extension Distance: ExpressibleByArgument {}
extension LearningRateSchedule: ExpressibleByArgument {}
