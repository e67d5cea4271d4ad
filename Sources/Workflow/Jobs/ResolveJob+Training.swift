import Experts
import Interference
import Networks
import Reporting
import TensorCore
import Work

extension ResolveJob {
    /// Adapts experts in steps.
    func train(
        _ pieces: [Piece], _ tasks: [TaskHead], _ inputs: InputSet, _ frozen: FrozenParameters, in context: Context
    ) throws -> [AdaptedExpert] {
        let progress = context.progress
        let byteCount = try requiredMemory(footprint(tasks, inputs, frozen, context), inputs, pieces, in: context)
        progress.note("resolving takes about \(ByteSize(byteCount)) of memory")
        let resolver = try resolver(tasks, inputs, frozen, in: context)
        let stepCount = pieces.reduce(0) { $0 + options.steps - ($1.found?.step ?? 0) }
        let seconds = pieces.map { resolver.expectedSeconds(from: $0.found?.step ?? 0) }
        tell(of: stepCount, taking: seconds, context)
        progress.begin("resolving", total: stepCount, unit: .items("steps"))
        var adapted: [AdaptedExpert] = []
        for (piece, expected) in zip(pieces, seconds) {
            let expert = set.experts[piece.index]
            let started = ContinuousClock.now
            let resolved = try resolver.resolve(
                expert: try set.backbone.parameters(of: expert.store), task: piece.index, from: try piece.state(),
                saving: piece.saving(every: resumption.saveEvery)
            ) { step in
                progress.advance(by: 1)
                progress.remark("\(expert.name)  loss \(step.loss.short())")
                return true
            }
            if let warning = resolved.idleness(of: expert.name) { context.warn(warning) }
            // Steps that early stopping has saved.
            progress.advance(by: options.steps - resolved.trace.count)
            let duration = ContinuousClock.now - started
            let store = try finish(piece, resolved.parameters, frozen)
            adapted.append(
                AdaptedExpert(
                    name: expert.name, path: path(of: expert), store: store,
                    training: AdaptedExpert.Training(
                        resolved, resumedAt: piece.found?.step, duration: duration, expectedByteCount: byteCount,
                        expectedDuration: expected.map { .seconds($0) })))
        }
        progress.end()
        return adapted
    }

    /// The memory that training takes at its peak.
    func footprint(
        _ tasks: [TaskHead], _ inputs: InputSet, _ frozen: FrozenParameters, _ context: Context
    ) -> Int {
        ResolverFootprint(
            set.backbone.network, tasks: tasks, auxiliary: inputs, options: options, frozen: frozen,
            threads: context.budget.threads
        ).byteCount
    }

    /// What adapts experts; the base's outputs are those that were kept, or computed, and kept where others may ask for them.
    func resolver(
        _ tasks: [TaskHead], _ inputs: InputSet, _ frozen: FrozenParameters, in context: Context
    ) throws -> Resolver {
        let file = try teachersFile()
        context.progress.begin("teachers", total: inputs.count, unit: .items("inputs"))
        defer { context.progress.end() }
        let resolver = try Resolver(
            network: set.backbone.network, base: try set.backbone.parameters(of: set.base), tasks: tasks,
            auxiliary: inputs, options: options, frozen: frozen, budget: context.budget
        ) { shape, compute in
            try file?.outputs(shape, or: compute) ?? compute()
        }
        context.progress.advance(by: inputs.count)
        return resolver
    }

    /// Tells how long steps will take, where that is known.
    ///
    /// - Parameter seconds: of each expert.
    func tell(of stepCount: Int, taking seconds: [Double?], _ context: Context) {
        let known = seconds.compactMap { $0 }
        guard known.count == seconds.count else { return }
        context.progress.note(
            "\(stepCount.grouped) steps of \(options.batchSize) inputs take about "
                + Duration.seconds(known.reduce(0, +)).readable)
    }
}
