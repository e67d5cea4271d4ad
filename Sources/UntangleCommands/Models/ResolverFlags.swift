import ArgumentParser
import Experts
import Interference
import Networks

/// How experts are adapted. Values that are not given come from the preset.
struct ResolverFlags: ParsableArguments {
    @Option(
        help: ArgumentHelp("Unlabelled inputs: an .npz with \"images\" [N, C, H, W], or \"noise\".", valueName: "file"))
    var auxiliary: String

    @Option(help: ArgumentHelp("How many inputs \"noise\" makes.", valueName: "n"))
    var auxiliaryCount = AuxiliarySource.defaultNoiseCount

    @Option(help: "A recipe to start from: paper (2500 steps of 128 at 1e-6).")
    var preset: ResolverPreset?

    @Option(help: ArgumentHelp("Updates per expert (default: 250).", valueName: "n"))
    var steps: Int?

    @Option(help: ArgumentHelp("Inputs per update (default: 64).", valueName: "n"))
    var batchSize: Int?

    @Option(help: ArgumentHelp("Of AdamW; try a tenth of the fine-tuning rate (default: 1e-4).", valueName: "x"))
    var learningRate: Double?

    @Option(help: ArgumentHelp("Decoupled, of AdamW (default: 1e-4).", valueName: "x"))
    var weightDecay: Double?

    @Option(help: ArgumentHelp("Weight of the interference term (default: 1).", valueName: "x"))
    var alpha: Double?

    @Option(help: "How outputs are compared (default: kl).")
    var distance: Distance?

    @Option(help: "How the learning rate moves (default: constant).")
    var schedule: LearningRateSchedule?

    @Flag(help: "Draw a new order of the inputs for every pass; otherwise batches are sequential and wrap.")
    var shuffle = false

    @Option(help: ArgumentHelp("For --shuffle and \"noise\".", valueName: "n"))
    var seed: UInt64 = 0

    var options: ResolverOptions {
        var options = preset == .paper ? ResolverOptions.paper : ResolverOptions()
        if let steps { options.steps = steps }
        if let batchSize { options.batchSize = batchSize }
        if let learningRate { options.learningRate = learningRate }
        if let weightDecay { options.weightDecay = weightDecay }
        if let alpha { options.alpha = alpha }
        if let distance { options.distance = distance }
        if let schedule { options.schedule = schedule }
        if shuffle { options.order = .shuffled(seed: seed) }
        return options
    }

    var source: AuxiliarySource { AuxiliarySource(auxiliary, noiseCount: auxiliaryCount, seed: seed) }

    func validate() throws {
        guard !auxiliary.isEmpty else { throw ValidationError("--auxiliary has no file") }
        guard auxiliaryCount > 0, auxiliaryCount <= 1 << 30 else {
            throw ValidationError("--auxiliary-count must lie between 1 and \(1 << 30)")
        }
    }
}

enum ResolverPreset: String, CaseIterable, ExpressibleByArgument {
    case paper
}

extension Distance: ExpressibleByArgument {}
extension LearningRateSchedule: ExpressibleByArgument {}
