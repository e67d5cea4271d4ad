import Experts
import Interference
import Networks
import TensorCore

extension RecipeReader {
    private static let resolveKeys = [
        "auxiliary", "auxiliary_count", "steps", "batch_size", "learning_rate", "weight_decay", "alpha", "distance",
        "schedule", "shuffle", "seed", "preset", "output",
    ]

    /// The section of Resolving Interference.
    func resolve(from root: YAMLSection) throws(RecipeError) -> Recipe.Resolve? {
        guard root.node("resolve") != nil else { return nil }
        guard let section = try root.section("resolve") else {
            throw RecipeError(
                .missingKey, "resolve is empty", file: path, at: root.position(of: "resolve"),
                hint: "auxiliary: FILE.npz, or auxiliary: noise")
        }
        if let unknown = section.unknownKeys(known: Self.resolveKeys).first { throw unknown.error }
        guard let auxiliary = try section.path("auxiliary") else {
            throw RecipeError(
                .missingKey, "resolve has no auxiliary inputs", file: path, at: section.position,
                hint: "auxiliary: FILE.npz, or auxiliary: noise")
        }
        var options = ResolverOptions()
        if let name = try section.text("preset") {
            guard name == "paper" else { throw section.bad("preset", "must be paper, not \"\(name)\"") }
            options = .paper
        }
        if let steps = try section.integer("steps", in: 1...1_000_000_000) { options.steps = steps }
        if let size = try section.integer("batch_size", in: 1...1_000_000) { options.batchSize = size }
        if let rate = try section.number("learning_rate") { options.learningRate = rate }
        if let decay = try section.number("weight_decay") { options.weightDecay = decay }
        if let alpha = try section.number("alpha") { options.alpha = alpha }
        if let distance = try section.choice("distance", Distance.self) { options.distance = distance }
        if let schedule = try section.choice("schedule", LearningRateSchedule.self) { options.schedule = schedule }
        let seed = UInt64(try section.integer("seed", in: 0...Int.max) ?? 0)
        if try section.flag("shuffle") ?? false { options.order = .shuffled(seed: seed) }
        do throws(InterferenceError) { try options.validate() } catch {
            throw RecipeError(.badValue, error.message, file: path, at: section.position, hint: error.hint)
        }
        let count = try section.integer("auxiliary_count", in: 1...1_000_000_000) ?? AuxiliarySource.defaultNoiseCount
        let isNoise = try section.text("auxiliary") == "noise"
        let source: AuxiliarySource = isNoise ? .noise(count: count, seed: seed) : .file(auxiliary)
        return Recipe.Resolve(auxiliary: source, options: options, output: try section.path("output"))
    }
}
