import Checkpoints
import Interference
import Networks
import SystemPackage
import TensorCore
import Work

// The state of an adaptation that is under way, `.NAME.resolving.safetensors` beside the output of the expert NAME:
//
//     parameters, first_moment, second_moment   F32 [P], the student and the moments of AdamW
//     trace                                     F64 [S, 3], loss, preservation and interference of the S steps that were taken
//
// with early stopping
//
//     best                                      F32 [P], the student with the lowest loss on held-out inputs
//     held_out                                  F64 [K, 2], step and loss of the K checks
//
// Hidden, so that no pattern takes it for an expert, and because no expert's name begins with a dot.

/// Where the state of one expert's adaptation, or of one merged model's distilling, is kept until the model is finished.
struct ResolverStateFile {
    private let file: StateFile
    private let parameterCount: Int
    private let steps: Int
    /// Whether inputs are held out for early stopping.
    private let checksHeldOut: Bool

    /// Chooses the file of an expert.
    ///
    /// - Parameters:
    ///   - fingerprint: of the expert that will be written.
    ///   - network: what is trained.
    ///   - options: how it is adapted.
    init(
        of expert: String, in folder: FilePath, fingerprint: Fingerprint, network: any Network,
        options: ResolverOptions, sync: Bool
    ) {
        // Batches are added up as they are cut.
        let shards = Fingerprint.Part("shards", options.cutting(for: network))
        file = StateFile(
            path: Self.path(of: expert, in: folder), name: expert, version: "resolver state 3",
            fingerprint: Fingerprint(kind: fingerprint.kind, parts: fingerprint.parts + [shards]), sync: sync)
        parameterCount = network.parameterCount
        steps = options.steps
        checksHeldOut = options.patience > 0
    }

    private static func path(of expert: String, in folder: FilePath) -> FilePath {
        folder.appending(".\(expert).resolving.safetensors")
    }

    /// Removes a state that nobody needs any more, and what killed runs have left of it.
    static func remove(of expert: String, in folder: FilePath) throws {
        try StateFile.remove(path(of: expert, in: folder))
    }

    private func descriptors(stepCount: Int, checkCount: Int) throws -> [TensorDescriptor] {
        func vector(_ name: TensorName) throws -> TensorDescriptor {
            try TensorDescriptor(name: name, dtype: .f32, shape: [parameterCount])
        }
        let all =
            try ["parameters", "first_moment", "second_moment"].map(vector)
            + [try TensorDescriptor(name: "trace", dtype: .f64, shape: [stepCount, 3])]
        guard checksHeldOut else { return all }
        return all
            + [try vector("best"), try TensorDescriptor(name: "held_out", dtype: .f64, shape: [checkCount, 2])]
    }

    /// Puts a state in the place of the one before, whole or not at all.
    ///
    /// - Throws: `IOError`; what was kept before is kept then.
    func save(_ state: borrowing ResolverState) throws {
        let trace = state.trace.flatMap { [$0.loss, $0.preservation, $0.interference] }
        let losses = state.heldOut?.losses ?? []
        let checks = losses.flatMap { [Double($0.step), $0.loss] }
        let vectors = [state.parameters, state.firstMoment, state.secondMoment]
        let all = try descriptors(stepCount: state.step, checkCount: losses.count)
        try trace.withUnsafeBytes { trace in
            try checks.withUnsafeBytes { checks in
                var pieces = vectors.map { UnsafeRawBufferPointer($0.values) } + [trace]
                if let best = state.heldOut?.best { pieces += [UnsafeRawBufferPointer(best.values), checks] }
                try file.save(zip(all, pieces).map { StateFile.Piece(descriptor: $0, bytes: $1) })
            }
        }
    }

    /// A state that was found, of the same work.
    struct Found {
        /// As many steps were taken.
        let step: Int
        fileprivate let descriptors: [TensorDescriptor]
        fileprivate let reader: SafetensorsReader
    }

    /// Finds the state that an interrupted run has left.
    ///
    /// - Returns: nil when there is none.
    /// - Throws: `resume.changed` when it is one of other work, which names what differs; `resume.damaged` when it is no state;
    ///   `IOError`.
    func find() throws -> Found? {
        guard let reader = try file.find() else { return nil }
        guard let trace = reader.descriptors.first(where: { $0.name == "trace" }), let step = trace.shape.dims.first,
            (1...steps).contains(step)
        else { throw file.damaged("it has no steps from 1 to \(steps)") }
        let checks = reader.descriptors.first { $0.name == "held_out" }?.shape.dims.first ?? 0
        // The student before the first step is checked, too.
        guard (0...step + 1).contains(checks), checks > 0 || !checksHeldOut else {
            throw file.damaged("it has no checks from 1 to \(step + 1)")
        }
        let all = try descriptors(stepCount: step, checkCount: checks)
        try file.check(all, of: reader)
        return Found(step: step, descriptors: all, reader: reader)
    }

    /// Reads a state.
    ///
    /// - Throws: `resume.damaged` when its contents are not those that were written; `io.memory`.
    func load(_ found: Found) throws -> ResolverState {
        let bytes = try file.tensors(found.descriptors, of: found.reader)
        func numbers(_ tensor: Int) -> [Double] {
            var numbers = [Double](repeating: 0, count: found.descriptors[tensor].byteCount / 8)
            numbers.withUnsafeMutableBytes { target in bytes[tensor].withUnsafeBytes { target.copyMemory(from: $0) } }
            return numbers
        }
        func read(_ tensor: Int, into vector: FloatBuffer) {
            bytes[tensor].withUnsafeBytes { UnsafeMutableRawBufferPointer(vector.values).copyMemory(from: $0) }
        }
        var heldOut: HeldOutChecks?
        if checksHeldOut {
            let checks = numbers(5)
            let losses = try stride(from: 0, to: checks.count, by: 2).map { place in
                guard let step = Int(exactly: checks[place]) else { throw file.damaged("a check has no step") }
                return HeldOutLoss(step: step, loss: checks[place + 1])
            }
            let kept = try HeldOutChecks(parameterCount: parameterCount, losses: losses)
            read(4, into: kept.best)
            heldOut = kept
        }
        let trace = numbers(3)
        let state = try ResolverState(
            parameterCount: parameterCount,
            trace: (0..<found.step).map {
                ResolverStep(
                    step: $0, loss: trace[3 * $0], preservation: trace[3 * $0 + 1],
                    interference: trace[3 * $0 + 2])
            }, heldOut: heldOut)
        for (tensor, vector) in [state.parameters, state.firstMoment, state.secondMoment].enumerated() {
            read(tensor, into: vector)
        }
        return state
    }
}
