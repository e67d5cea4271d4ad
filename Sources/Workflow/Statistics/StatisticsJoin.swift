import Checkpoints
import Kernels
import ModelFolders
import SystemPackage
import TensorCore
import Work

/// Makes the statistics of all inputs out of those of parts: means, weighted by what they are over.
public struct StatisticsJoin: Job, Sendable {
    private let parts: [TensorStore]
    private let headers: [StatisticsHeader]
    private let target: OutputTarget

    /// Checks that files are statistics of one kind and one model, of different inputs.
    ///
    /// - Throws: `input.bad_value` for files that are none; `input.bad_shape` when tensors differ, `input.bad_dtype` when they hold no numbers.
    public init(_ parts: [TensorStore], target: OutputTarget) throws {
        precondition(!parts.isEmpty, "nothing to join")
        self.parts = parts
        self.target = target
        headers = try parts.map { try StatisticsHeader(of: $0) }
        for (store, header) in zip(parts, headers).dropFirst() {
            func different(_ problem: String) -> InputError {
                InputError(.badValue, "\(store.path.string) \(problem) \(parts[0].path.string)", file: store.path)
            }
            guard header.kind == headers[0].kind else { throw different("has statistics of another kind than") }
            guard header.model == headers[0].model else { throw different("was measured on another model than") }
            guard Set(store.descriptors) == Set(parts[0].descriptors) else {
                throw InputError(
                    .badShape, "\(store.path.string) has other tensors than \(parts[0].path.string)", file: store.path)
            }
        }
        if let tensor = parts[0].descriptors.first(where: { !$0.dtype.isComputable }) {
            throw InputError(
                .badDtype, "\"\(tensor.name)\" is \(tensor.dtype.rawValue), and statistics are floating-point numbers",
                file: parts[0].path, tensor: tensor.name)
        }
        try Self.checkInputs(Array(zip(parts, headers)))
    }

    /// Makes sure that no input counts twice.
    private static func checkInputs(_ files: [(store: TensorStore, header: StatisticsHeader)]) throws(InputError) {
        for (place, (store, header)) in files.enumerated() {
            let earlier = files[..<place].first { earlier in
                header.inputs.contains { inputs in earlier.header.inputs.contains(where: inputs.overlaps) }
            }
            guard let earlier else { continue }
            throw InputError(
                .badValue, "\(store.path.string) measures inputs that \(earlier.store.path.string) has measured, too",
                file: store.path, hint: "give every part of one cut once, or the whole alone")
        }
    }

    /// Writes the joined statistics.
    ///
    /// - Throws: what readers and writers throw.
    public func run(in context: Context) throws -> StatisticsJob.Outcome {
        let tensors = parts[0].descriptors
        let kind = headers[0].kind
        let inputCount = headers.reduce(0) { $0 + $1.inputCount }
        let rowCounts = Dictionary(
            uniqueKeysWithValues: tensors.map { tensor in
                (tensor.name, headers.reduce(0) { $0 + $1.rowCount(of: tensor.name) })
            })
        let header = StatisticsHeader(
            kind: kind, model: headers[0].model, inputs: headers.flatMap(\.inputs).united, inputCount: inputCount,
            rowCounts: kind == .gram ? rowCounts : [:])
        let writer = try target.open(declaring: tensors, metadata: header.metadata)
        context.progress.begin("joining", total: tensors.count, unit: .items("tensors"))
        defer { context.progress.end() }
        for (place, tensor) in tensors.enumerated() {
            try join(tensor, total: rowCounts[tensor.name] ?? 1, at: place, into: writer)
            context.progress.advance(by: 1)
        }
        return StatisticsJob.Outcome(
            written: try writer.finish(), kind: kind, tensorCount: tensors.count, inputCount: inputCount,
            resumedAt: nil)
    }

    private func join(
        _ tensor: TensorDescriptor, total: Int, at place: Int, into writer: any CheckpointWriter
    ) throws {
        let width = tensor.dtype.bitWidth / 8
        let sum = try Matrix<Double>(rows: 1, columns: tensor.elementCount)
        for (store, header) in zip(parts, headers) {
            guard let index = store.index(of: tensor.name) else { continue }
            let share = Double(header.rowCount(of: tensor.name)) / Double(total)
            let bytes = try store.reader.bytes(of: index)
            bytes.withUnsafeBytes { bytes in
                withUnsafeTemporaryAllocation(of: Double.self, capacity: Self.blockCapacity) { block in
                    for start in stride(from: 0, to: sum.count, by: Self.blockCapacity) {
                        let count = min(Self.blockCapacity, sum.count - start)
                        let numbers = UnsafeMutableBufferPointer(rebasing: block[..<count])
                        let stored = bytes[start * width..<(start + count) * width]
                        widen(UnsafeRawBufferPointer(rebasing: stored), tensor.dtype, into: numbers)
                        for i in 0..<count { sum.pointer[start + i] += share * numbers[i] }
                    }
                }
            }
        }
        let stored = try AlignedBuffer(byteCount: tensor.byteCount)
        _ = narrow(UnsafeBufferPointer(sum.values), into: stored.mutableBytes, as: tensor.dtype)
        try withExtendedLifetime(stored) { try writer.write(stored.bytes, tensor: place, at: 0) }
    }

    private static let blockCapacity = 4096
}
