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
    /// - Parameter members: every tensor of the group, with its first dimension as rows and all others as columns; or one matrix of a
    ///   stack of experts.
    /// - Throws: `DecompositionError`, `IOError` `io.memory`.
    func study(_ members: [MatrixInputs], group: Int) throws

    /// Called when every group was studied.
    func finish()

    /// Makes the merged task vectors of a group.
    ///
    /// - Returns: what the user should know.
    func merge(_ members: [MatrixInputs], group: Int, into results: [Matrix<Float>]) throws -> MergeRemark?
}

/// A tensor of a group, or one matrix of a stack of experts.
private struct GroupedTensor {
    let tensor: PlannedTensor
    /// Its place in the stack.
    let number: Int
    let rows: Int
    let columns: Int
    /// How many groups the tensor is in.
    let count: Int

    /// The groups of a tensor.
    static func all(_ tensor: PlannedTensor) -> [(group: Int, member: GroupedTensor)] {
        guard case .grouped(let first, _) = tensor.work else { return [] }
        let output = tensor.output
        if output.isStackOfExperts, let shape = output.matrices {
            return (0..<shape.count).map { number in
                let member = GroupedTensor(
                    tensor: tensor, number: number, rows: shape.rows, columns: shape.columns, count: shape.count)
                return (first + number, member)
            }
        }
        let rows = output.shape.dims.first ?? 1
        let columns = rows == 0 ? 0 : output.elementCount / rows
        return [(first, GroupedTensor(tensor: tensor, number: 0, rows: rows, columns: columns, count: 1))]
    }

    var workingByteCount: Int { if case .grouped(_, let bytes) = tensor.work { bytes } else { 0 } }

    /// What the group's share of the tensor counts as in progress.
    var progressByteCount: Int {
        let bytes = tensor.output.byteCount
        return bytes / count + (number == 0 ? bytes % count : 0)
    }
}

extension MergeLane {
    /// Studies and merges what is merged in groups, as many groups at a time as the memory allows.
    func mergeGroups() throws {
        guard let grouped = plan.assignment.grouped?() else { return }
        var groups: [Int: [GroupedTensor]] = [:]
        for tensor in plan.tensors {
            for (group, member) in GroupedTensor.all(tensor) { groups[group, default: []].append(member) }
        }
        let all = groups.sorted { $0.key < $1.key }
        let merged = all.filter { $0.value.contains { isInPart($0.tensor) } }
        try forEachGroup(grouped.comparesGroups ? all : merged, besides: grouped.heldByteCount) { tensors, group in
            try withMembers(tensors) { members in
                for member in members { try look(at: member.tensor, elements: member.inputs.elements) }
                try grouped.study(members.map(\.inputs), group: group)
            }
        }
        grouped.finish()
        try forEachGroup(merged, besides: grouped.heldByteCount) { tensors, group in
            try withMembers(tensors) { members in
                let results = try members.map {
                    try Matrix<Float>(rows: $0.inputs.rows, columns: $0.inputs.columns)
                }
                if let remark = try grouped.merge(members.map(\.inputs), group: group, into: results) {
                    log.note(remark, on: tensors[0].tensor.number, number: tensors[0].number)
                }
                for (member, result) in zip(members, results) where isInPart(member.tensor.planned) {
                    try member.tensor.planned.correction?.correct(result, of: member.inputs)
                    try write(
                        member.inputs.base, plus: result, number: member.place.number, to: member.tensor.planned)
                }
            }
        }
    }

    private struct Member {
        let place: GroupedTensor
        let tensor: LoadedTensor
        let inputs: MatrixInputs
    }

    private func forEachGroup(
        _ groups: [(key: Int, value: [GroupedTensor])], besides heldByteCount: Int,
        _ body: @Sendable ([GroupedTensor], Int) throws -> Void
    ) throws {
        let gate = MemoryGate(limit: max(0, (plan.memory.limit ?? Int.max) - heldByteCount))
        try parallel(count: groups.count, threads: plan.budget.threads) { place in
            let (group, tensors) = groups[place]
            let bytes = tensors.map(\.workingByteCount).max() ?? 0
            let need = bytes + tensors.reduce(0) { $0 + $1.tensor.decodedByteCount }
            gate.enter(need)
            defer { gate.leave(need) }
            do {
                try body(tensors, group)
            } catch let error as DecompositionError {
                let place = tensors.first { !log.notFinite(in: $0.tensor.number).isEmpty } ?? tensors[0]
                throw MergeError(
                    error, tensor: place.tensor.output, inputs: log.notFinite(in: place.tensor.number),
                    isCorrected: place.tensor.correction != nil)
            }
            for place in tensors where isInPart(place.tensor) { log.advance(place.progressByteCount) }
        }
    }

    /// Calls `body` with the tensors' bytes in every model.
    private func withMembers(_ tensors: [GroupedTensor], _ body: ([Member]) throws -> Void) throws {
        var members: [Member] = []
        func open(_ rest: ArraySlice<GroupedTensor>) throws {
            guard let place = rest.first else { return try body(members) }
            let loaded = try LoadedTensor(place.tensor, of: plan.models, hasBase: plan.hasBase)
            try loaded.withSources { base, experts in
                guard let base else { preconditionFailure("methods of groups need a base") }
                let inputs = MatrixInputs(
                    number: place.number, rows: place.rows, columns: place.columns, base: base, experts: experts)
                members.append(Member(place: place, tensor: loaded, inputs: inputs))
                try open(rest.dropFirst())
            }
        }
        try open(tensors[...])
    }
}
