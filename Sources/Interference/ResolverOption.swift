import Kernels
import Networks

/// One option of the resolver: the one place that the keys of recipes, `--help`, checks, fingerprints and the documentation read.
public struct ResolverOption: Sendable {
    /// As recipes write it; the command line has dashes for underscores.
    public let name: String
    public let kind: Kind
    /// What it means, for people, without the full stop.
    public let help: String

    public typealias Field<Value> = WritableKeyPath<ResolverOptions, Value> & Sendable

    /// What the option takes, and where among the options its value is kept.
    public enum Kind: Sendable {
        case wholeNumber(Field<Int>, ClosedRange<Int>)
        case number(Field<Double>, ClosedRange<Double>)
        /// A number, or the word `auto`, for which the program chooses.
        case automaticWholeNumber(Field<Int?>, ClosedRange<Int>)
        case automaticNumber(Field<Double?>, ClosedRange<Double>)
        case flag(Field<Bool>)
        case seed(Field<UInt64>)
        /// Any number of shell patterns.
        case patterns(Field<[String]>)
        /// One of a list of names.
        case choice(
            [String], get: @Sendable (ResolverOptions) -> String, set: @Sendable (inout ResolverOptions, String) -> Void
        )

        fileprivate static func choice<Choice: RawRepresentable<String> & CaseIterable & Sendable>(
            _ field: Field<Choice>
        ) -> Kind {
            .choice(
                Choice.allCases.map(\.rawValue), get: { $0[keyPath: field].rawValue },
                set: { options, name in if let choice = Choice(rawValue: name) { options[keyPath: field] = choice } })
        }
    }

    public static let solver = ResolverOption(
        name: "solver", kind: .choice(\.solver),
        help: "How experts are adapted: in steps, or in closed form, by heads alone or by heads and auxiliary inputs")
    public static let match = ResolverOption(
        name: "match", kind: .choice(\.match),
        help: "What is kept: logits under heads, or features, which needs no heads and compares by mse")
    public static let steps = ResolverOption(
        name: "steps", kind: .wholeNumber(\.steps, 1...largestMatrixDimension), help: "Updates")
    public static let batchSize = ResolverOption(
        name: "batch_size", kind: .wholeNumber(\.batchSize, 1...largestMatrixDimension), help: "Inputs per update")
    public static let microBatchSize = ResolverOption(
        name: "micro_batch_size", kind: .automaticWholeNumber(\.microBatchSize, 1...largestMatrixDimension),
        help: "Inputs computed at once, which bounds memory")
    public static let learningRate = ResolverOption(
        name: "learning_rate",
        kind: .automaticNumber(\.learningRate, .leastNonzeroMagnitude ... .greatestFiniteMagnitude),
        help: "Of AdamW; auto takes a hundredth of the task vector's root mean square")
    public static let weightDecay = ResolverOption(
        name: "weight_decay", kind: .number(\.weightDecay, 0 ... .greatestFiniteMagnitude),
        help: "Decoupled, of AdamW")
    public static let alpha = ResolverOption(
        name: "alpha", kind: .number(\.alpha, 0 ... .greatestFiniteMagnitude), help: "Weight of the interference term")
    public static let ridge = ResolverOption(
        name: "ridge", kind: .number(\.ridge, .leastNormalMagnitude ... .greatestFiniteMagnitude),
        help: "What holds weights in place in closed form, as a share of the own head's Gram matrix")
    public static let driftShare = ResolverOption(
        name: "drift_share", kind: .number(\.driftShare, 0.01...0.999),
        help: "Share of an expert's drift that is taken in by the directions whose features are matched")
    public static let distance = ResolverOption(
        name: "distance", kind: .choice(\.distance), help: "How outputs are compared")
    public static let teacherTemperature = ResolverOption(
        name: "teacher_temperature", kind: .number(\.temperatures.teacher, Temperatures.range),
        help: "What a teacher's logits are divided by before they are compared")
    public static let studentTemperature = ResolverOption(
        name: "student_temperature", kind: .number(\.temperatures.student, Temperatures.range),
        help: "What the student's logits are divided by")
    public static let startScale = ResolverOption(
        name: "start_scale", kind: .number(\.startScale, 0...100),
        help: "The part of its task vector that an expert begins with")
    public static let freeze = ResolverOption(
        name: "freeze", kind: .patterns(\.freeze), help: "Patterns of tensors that are not trained")
    public static let schedule = ResolverOption(
        name: "schedule", kind: .choice(\.schedule), help: "How the learning rate moves")
    public static let warmupSteps = ResolverOption(
        name: "warmup_steps", kind: .wholeNumber(\.warmupSteps, 0...largestMatrixDimension),
        help: "First steps, over which the learning rate rises in a straight line")
    public static let clipNorm = ResolverOption(
        name: "clip_norm", kind: .number(\.clipNorm, 0 ... .greatestFiniteMagnitude),
        help: "Length to which a longer gradient is shortened; 0 never does")
    public static let patience = ResolverOption(
        name: "patience", kind: .wholeNumber(\.patience, 0...largestMatrixDimension),
        help: "Checks without a lower loss on held-out inputs after which an expert stops; 0 takes all steps")
    public static let checkEvery = ResolverOption(
        name: "check_every", kind: .wholeNumber(\.checkEvery, 1...largestMatrixDimension),
        help: "Steps from one check to the next, with patience")
    public static let holdout = ResolverOption(
        name: "holdout", kind: .number(\.holdout, 0.0001...0.5),
        help: "Share of the auxiliary inputs that checks look at and steps do not, with patience")
    public static let shuffle = ResolverOption(
        name: "shuffle", kind: .flag(\.shuffle),
        help: "Draw a new order of the inputs for every pass; otherwise batches are sequential and wrap")
    public static let seed = ResolverOption(
        name: "seed", kind: .seed(\.seed), help: "For shuffling and for auxiliary inputs that are made on the spot")

    /// Every option, in the order in which they are shown.
    public static let all = [
        solver, match, steps, batchSize, microBatchSize, learningRate, weightDecay, alpha, ridge, driftShare, distance,
        teacherTemperature, studentTemperature, startScale, freeze, schedule, warmupSteps, clipNorm, patience,
        checkEvery,
        holdout, shuffle, seed,
    ]

    /// Those that mean something where a merged model is distilled, which has no interference term and begins where merging has put it.
    public static let ofDistilling = all.filter {
        ![solver.name, match.name, alpha.name, ridge.name, driftShare.name, startScale.name].contains($0.name)
    }

    /// Those that choose the auxiliary inputs that are used, and how many are computed at once: all that the base's outputs under the
    /// heads depend on.
    package static let ofBaseOutputs = [steps, batchSize, microBatchSize, patience, holdout, shuffle, seed]

    /// The options that closed forms look at.
    private static let ofClosedForms = Set([solver, match, alpha, ridge, driftShare, freeze].map(\.name))

    /// Whether the result depends on the option, given the others.
    func hasEffect(among options: ResolverOptions) -> Bool {
        switch name {
        case Self.driftShare.name: options.match == .features
        case Self.ridge.name: options.solver != .train
        case Self.seed.name where options.solver == .train: options.shuffle
        default: options.solver == .train || Self.ofClosedForms.contains(name)
        }
    }

    /// The option's value among others: one text for each value, on every machine and in every version.
    public func text(in options: ResolverOptions) -> String {
        switch kind {
        case .wholeNumber(let field, _): "\(options[keyPath: field])"
        case .number(let field, _): "\(options[keyPath: field])"
        case .automaticWholeNumber(let field, _): options[keyPath: field].map { "\($0)" } ?? Self.automatic
        case .automaticNumber(let field, _): options[keyPath: field].map { "\($0)" } ?? Self.automatic
        case .flag(let field): "\(options[keyPath: field])"
        case .seed(let field): "\(options[keyPath: field])"
        case .patterns(let field):
            options[keyPath: field].isEmpty ? "none" : options[keyPath: field].joined(separator: " ")
        case .choice(_, let get, _): get(options)
        }
    }

    /// The word for a value that the program chooses.
    public static let automatic = "auto"

    /// The value when nothing is said.
    public var defaultText: String { text(in: ResolverOptions()) }

    /// Checks the option's value.
    ///
    /// - Throws: `InterferenceError` `interference.bad_option` that names the option and its range.
    func validate(_ options: ResolverOptions) throws(InterferenceError) {
        let demand: String? =
            switch kind {
            case .wholeNumber(let field, let range) where !range.contains(options[keyPath: field]):
                "lie between \(range.lowerBound) and \(range.upperBound)"
            case .number(let field, let range) where !range.contains(options[keyPath: field]):
                range.upperBound < .greatestFiniteMagnitude
                    ? "lie between \(range.lowerBound) and \(range.upperBound)"
                    : range.lowerBound > 0 ? "be positive" : "not be negative"
            case .automaticWholeNumber(let field, let range):
                options[keyPath: field].flatMap {
                    range.contains($0) ? nil : "lie between \(range.lowerBound) and \(range.upperBound)"
                }
            case .automaticNumber(let field, let range):
                options[keyPath: field].flatMap { range.contains($0) ? nil : "be positive" }
            default: nil
            }
        guard let demand else { return }
        let words = name.split(separator: "_").joined(separator: " ")
        throw InterferenceError(.badOption, "\(words) is \(text(in: options)); it must \(demand)")
    }
}
