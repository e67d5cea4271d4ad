import Interference
import Networks
import Reporting
import TensorCore
import Work

extension ResolveJob {
    /// Adapts experts in closed form.
    ///
    /// - Parameter inputs: nil where the options look at none.
    func solve(
        _ pieces: [Piece], _ tasks: [TaskHead], _ inputs: InputSet?, _ frozen: FrozenParameters, in context: Context
    ) throws -> [AdaptedExpert] {
        let (backbone, progress) = (set.backbone, context.progress)
        let byteCount = try requiredMemory(
            ClosedFormResolver.byteCount(backbone.network, auxiliary: inputs, options: options), inputs, pieces,
            in: context)
        progress.note("resolving takes about \(ByteSize(byteCount)) of memory")
        let resolver = try ClosedFormResolver(
            network: backbone.network, base: try backbone.parameters(of: set.base), tasks: tasks, auxiliary: inputs,
            options: options, budget: context.budget)
        progress.begin("resolving", total: pieces.count, unit: .items("experts"))
        defer { progress.end() }
        return try pieces.map { piece in
            let expert = set.experts[piece.index]
            let started = ContinuousClock.now
            let parameters = try backbone.parameters(of: expert.store)
            try resolver.resolve(expert: parameters, task: piece.index)
            let duration = ContinuousClock.now - started
            let store = try finish(piece, parameters, frozen)
            progress.advance(by: 1)
            return AdaptedExpert(
                name: expert.name, path: path(of: expert), store: store,
                training: AdaptedExpert.Training(duration: duration, expectedByteCount: byteCount))
        }
    }
}
