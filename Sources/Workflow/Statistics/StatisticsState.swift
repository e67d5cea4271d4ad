import Checkpoints
import SystemPackage
import TensorCore
import Work

// The state of statistics that are being measured, `.FILE.measuring.safetensors` beside the output FILE:
//
//     counts       I64 [1 + S], the inputs that were added up, and the rows of each of the S sums
//     NAME         F64, a sum: of a layer of the network, or `squares` of all parameters

/// Where sums are kept until the statistics are finished.
struct StatisticsState {
    private let file: StateFile

    init(of target: OutputTarget, fingerprint: Fingerprint) {
        let name = target.path.lastComponent?.string ?? "statistics"
        file = StateFile(
            path: target.path.removingLastComponent().appending(".\(name).measuring.safetensors"), name: name,
            version: "statistics state 1", fingerprint: fingerprint, sync: target.options.sync)
    }

    /// Removes a state that nobody needs any more.
    func remove() throws { try StateFile.remove(file.path) }

    private func descriptors(of sums: any StatisticsSums) throws -> [TensorDescriptor] {
        [try TensorDescriptor(name: "counts", dtype: .i64, shape: [1 + sums.state.count])]
            + sums.state.map(\.descriptor)
    }

    /// Keeps sums, whole or not at all.
    ///
    /// - Parameter inputCount: the inputs that they are of.
    /// - Throws: `IOError`.
    func save(_ sums: any StatisticsSums, inputCount: Int) throws {
        try makeFolder(file.path.removingLastComponent())
        let counts = ([inputCount] + sums.counts).map { Int64($0).littleEndian }
        try counts.withUnsafeBytes { counts in
            let pieces = [counts] + sums.state.map { UnsafeRawBufferPointer($0.sum.values) }
            try file.save(zip(try descriptors(of: sums), pieces).map { StateFile.Piece(descriptor: $0, bytes: $1) })
        }
    }

    /// Goes on from the sums that an interrupted run has left.
    ///
    /// - Parameter limit: the inputs that there are.
    /// - Returns: how many inputs were added up; nil when there is no state.
    /// - Throws: `resume.*`, `IOError`.
    func restore(_ sums: any StatisticsSums, limit: Int) throws -> Int? {
        guard let reader = try file.find() else { return nil }
        let tensors = try file.tensors(try descriptors(of: sums), of: reader)
        let counts = tensors[0].withUnsafeBytes { bytes in
            (0..<bytes.count / 8).map {
                Int(Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8 * $0, as: Int64.self)))
            }
        }
        guard (0...limit).contains(counts[0]), counts.allSatisfy({ (0...1 << 53).contains($0) }) else {
            throw file.damaged("it has \(counts[0]) inputs of \(limit)")
        }
        for (tensor, sum) in zip(tensors.dropFirst(), sums.state) {
            tensor.withUnsafeBytes { UnsafeMutableRawBufferPointer(sum.sum.values).copyMemory(from: $0) }
        }
        sums.restore(counts: Array(counts.dropFirst()))
        return counts[0]
    }
}
