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
// and in the metadata
//
//     untangle              resolver state 3
//     content               the XXH3-128 of the tensors in this order
//     kind                  of the fingerprint
//     fingerprint.0007.X    the part X of the fingerprint, behind its place from 0000 on
//
// Hidden, so that no pattern takes it for an expert, and because no expert's name begins with a dot.

/// Where the state of one expert's adaptation, or of one merged model's distilling, is kept until the model is finished.
struct ResolverStateFile {
    let path: FilePath
    private let expert: String
    private let fingerprint: Fingerprint
    private let parameterCount: Int
    private let steps: Int
    /// Whether inputs are held out for early stopping.
    private let checksHeldOut: Bool
    private let sync: Bool

    private static let version = "resolver state 3"

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
        path = Self.path(of: expert, in: folder)
        self.expert = expert
        // Batches are added up as they are cut, and the rules for that may change.
        let shards = Fingerprint.Part(
            "shards",
            "\(options.shardCount(parameterCount: network.parameterCount)) of \(BatchPlan.activationByteCount) bytes")
        self.fingerprint = Fingerprint(kind: fingerprint.kind, parts: fingerprint.parts + [shards])
        parameterCount = network.parameterCount
        steps = options.steps
        checksHeldOut = options.patience > 0
        self.sync = sync
    }

    private static func path(of expert: String, in folder: FilePath) -> FilePath {
        folder.appending(".\(expert).resolving.safetensors")
    }

    /// Removes a state that nobody needs any more, and what killed runs have left of it.
    static func remove(of expert: String, in folder: FilePath) throws {
        let path = path(of: expert, in: folder)
        AtomicOutput.removeRemains(of: path)
        try removeFile(path)
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
        let best = state.heldOut?.best
        try trace.withUnsafeBytes { trace in
            try checks.withUnsafeBytes { checks in
                var pieces = vectors.map { UnsafeRawBufferPointer($0.values) } + [trace]
                if let best { pieces += [UnsafeRawBufferPointer(best.values), checks] }
                var metadata = Metadata()
                metadata["untangle"] = Self.version
                metadata["content"] = Self.hash(pieces).description
                metadata["kind"] = fingerprint.kind
                for (place, part) in fingerprint.parts.enumerated() {
                    metadata["\(Self.prefix(of: place))\(part.name)"] = part.value
                }
                let writer = try SafetensorsWriter(
                    creating: path, declaring: try descriptors(stepCount: state.step, checkCount: losses.count),
                    metadata: metadata, options: WriteOptions(force: true, sync: sync))
                for (tensor, bytes) in pieces.enumerated() { try writer.write(bytes, tensor: tensor, at: 0) }
                _ = try writer.finish()
            }
        }
    }

    /// What stands before a part's name: metadata have an order of their own.
    private static func prefix(of place: Int) -> String {
        let digits = String(place)
        return "fingerprint.\(String(repeating: "0", count: max(0, 4 - digits.count)))\(digits)."
    }

    private static func hash(_ pieces: [UnsafeRawBufferPointer]) -> ContentHash {
        let hash = ContentHash.Accumulator()
        pieces.forEach(hash.update)
        return hash.finish()
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
        guard fileExists(path) else { return nil }
        let reader: SafetensorsReader
        do { reader = try SafetensorsReader(opening: path) } catch let error as FormatError {
            throw damaged(error.message)
        }
        guard reader.metadata["untangle"] == Self.version, let kind = reader.metadata["kind"] else {
            throw damaged("it is no \(Self.version)")
        }
        let entries = reader.metadata.entries.filter { $0.key.hasPrefix("fingerprint.") }.sorted { $0.key < $1.key }
        let parts = entries.map { Fingerprint.Part(String($0.key.dropFirst(Self.prefix(of: 0).count)), $0.value) }
        let differences = fingerprint.differences(since: Fingerprint(kind: kind, parts: parts))
        guard differences.isEmpty else { throw ResumeError.changed(differences, expert: expert, file: path) }
        guard let trace = reader.descriptors.first(where: { $0.name == "trace" }), let step = trace.shape.dims.first,
            (1...steps).contains(step)
        else { throw damaged("it has no steps from 1 to \(steps)") }
        let checks = reader.descriptors.first { $0.name == "held_out" }?.shape.dims.first ?? 0
        // The student before the first step is checked, too.
        guard (0...step + 1).contains(checks), checks > 0 || !checksHeldOut else {
            throw damaged("it has no checks from 1 to \(step + 1)")
        }
        let all = try descriptors(stepCount: step, checkCount: checks)
        for expected in all {
            let found = reader.descriptors.first { $0.name == expected.name }
            guard found == expected else {
                let text = found.map { "\($0.dtype) \($0.shape)" } ?? "missing"
                throw damaged("\"\(expected.name)\" is \(text) and not \(expected.dtype) \(expected.shape)")
            }
        }
        return Found(step: step, descriptors: all, reader: reader)
    }

    /// Reads a state.
    ///
    /// - Throws: `resume.damaged` when its contents are not those that were written; `io.memory`.
    func load(_ found: Found) throws -> ResolverState {
        let reader = found.reader
        let bytes = found.descriptors.compactMap { expected in
            reader.descriptors.firstIndex { $0.name == expected.name }.map { reader.bytes(of: $0) }
        }
        let hash = ContentHash.Accumulator()
        for tensor in bytes { tensor.withUnsafeBytes { hash.update($0) } }
        guard hash.finish().description == reader.metadata["content"] else {
            throw damaged("its contents are not those that were written")
        }
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
                guard let step = Int(exactly: checks[place]) else { throw damaged("a check has no step") }
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

    private func damaged(_ problem: String) -> ResumeError {
        ResumeError(.damaged, "the state of \"\(expert)\" cannot be used: \(problem)", file: path)
    }
}
