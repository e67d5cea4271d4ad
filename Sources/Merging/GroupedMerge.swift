import Kernels
import Synchronization
import TensorCore

/// A way to merge tensors that belong together, such as a weight and its bias, after all groups have been seen.
///
/// Groups are studied side by side, then `finish` is called, then they are merged side by side.
package protocol GroupedMerge: Sendable {
    /// Bytes that stay in use from the study of the first group until the merge of the last.
    var heldByteCount: Int { get }

    /// Whether what becomes of a group depends on the others.
    var comparesGroups: Bool { get }

    /// Bytes that work on one group takes.
    func workingByteCount(group: Int) throws -> Int

    /// Learns what the merge of a group needs to know of all its tensors.
    ///
    /// - Parameter members: every tensor of the group, with its first dimension as rows and all others as columns.
    /// - Throws: `DecompositionError`, `IOError` `io.memory`.
    func study(_ members: [MatrixInputs], group: Int) throws

    /// Called when every group was studied.
    func finish()

    /// Makes the merged task vectors of a group.
    ///
    /// - Returns: what the user should know.
    func merge(_ members: [MatrixInputs], group: Int, into results: [Matrix<Float>]) throws -> MergeRemark?
}

extension MergeExecution {
    /// Studies and merges what is merged in groups, as many groups at a time as the memory allows.
    func mergeGroups() throws {
        guard let grouped = plan.assignment.grouped?() else { return }
        var groups: [Int: [PlannedTensor]] = [:]
        for tensor in plan.tensors {
            if case .grouped(let group, _) = tensor.work { groups[group, default: []].append(tensor) }
        }
        let all = groups.sorted { $0.key < $1.key }.map(\.value)
        let merged = all.filter { $0.contains(where: isInPart) }
        try forEachGroup(grouped.comparesGroups ? all : merged, besides: grouped.heldByteCount) { tensors, group in
            try withMembers(tensors) { members in
                for member in members { try look(at: member.tensor) }
                try grouped.study(members.map(\.inputs), group: group)
            }
        }
        grouped.finish()
        try forEachGroup(merged, besides: grouped.heldByteCount) { tensors, group in
            try withMembers(tensors) { members in
                let results = try members.map {
                    try Matrix<Float>(rows: $0.inputs.rows, columns: $0.inputs.columns)
                }
                let remark = try grouped.merge(members.map(\.inputs), group: group, into: results)
                if let remark { log.note(remark, on: tensors[0].number) }
                for (member, result) in zip(members, results) where isInPart(member.tensor.planned) {
                    try member.tensor.planned.correction?.correct(result, of: member.inputs)
                    try write(member.inputs.base, plus: result, to: member.tensor.planned)
                }
            }
        }
    }

    private struct Member {
        let tensor: LoadedTensor
        let inputs: MatrixInputs
    }

    private func forEachGroup(
        _ groups: [[PlannedTensor]], besides heldByteCount: Int,
        _ body: @Sendable ([PlannedTensor], Int) throws -> Void
    ) throws {
        let gate = MemoryGate(limit: max(0, (plan.memory.limit ?? Int.max) - heldByteCount))
        try parallel(count: groups.count, threads: plan.budget.threads) { place in
            let tensors = groups[place]
            guard case .grouped(let group, _) = tensors[0].work else { return }
            let bytes = tensors.map { if case .grouped(_, let bytes) = $0.work { bytes } else { 0 } }.max() ?? 0
            let need = bytes + tensors.reduce(0) { $0 + $1.decodedByteCount }
            gate.enter(need)
            defer { gate.leave(need) }
            do {
                try body(tensors, group)
            } catch let error as DecompositionError {
                let tensor = tensors.first { !log.notFinite(in: $0.number).isEmpty } ?? tensors[0]
                throw MergeError(error, tensor: tensor.output, inputs: log.notFinite(in: tensor.number))
            }
            for tensor in tensors where isInPart(tensor) { log.advance(tensor.output.byteCount) }
        }
    }

    /// Calls `body` with the tensors' bytes in every model.
    private func withMembers(_ tensors: [PlannedTensor], _ body: ([Member]) throws -> Void) throws {
        var members: [Member] = []
        func open(_ rest: ArraySlice<PlannedTensor>) throws {
            guard let tensor = rest.first else { return try body(members) }
            let loaded = try LoadedTensor(tensor, of: plan.models, hasBase: plan.hasBase)
            try loaded.withSources { base, experts in
                guard let base else { preconditionFailure("methods of groups need a base") }
                let rows = tensor.output.shape.dims.first ?? 1
                let inputs = MatrixInputs(
                    rows: rows, columns: rows == 0 ? 0 : tensor.output.elementCount / rows, base: base,
                    experts: experts)
                members.append(Member(tensor: loaded, inputs: inputs))
                try open(rest.dropFirst())
            }
        }
        try open(tensors[...])
    }
}
