import Checkpoints
import Experts
import SystemPackage
import TensorCore
import Work

/// Which inputs of one set of data were measured, as the metadata of statistics have it: `16:32,48:64 of 64`.
///
/// Numbers count from 0, and the second of a range is not among them.
struct MeasuredInputs: Sendable {
    /// The SHA-256 of the files, or of what says how inputs are made, however many of them are taken.
    let data: String
    /// In their order, none beside or across another.
    private(set) var ranges: [Range<Int>]
    /// How many inputs a run was about that measured a part of them.
    private(set) var total: Int

    /// The inputs that one run measures.
    ///
    /// - Throws: `IOError` when a file cannot be read.
    init(_ range: Range<Int>, of total: Int, from source: AuxiliarySource) throws {
        let kind =
            switch source {
            case .file: "a file"
            case .generated(let inputs): "\(inputs.kind.rawValue) from seed \(inputs.seed)"
            }
        data = try Fingerprint("data", settings: ["inputs": kind], inputs: [JobInput("inputs", source.input)]).digest
        ranges = [range]
        self.total = total
    }

    /// Reads what the metadata say of a set of data; nil when it makes no sense.
    init?(data: String, text: String) {
        let halves = text.split(separator: " ").map(String.init)
        guard halves.count == 3, halves[1] == "of", let total = Int(halves[2]) else { return nil }
        var ranges: [Range<Int>] = []
        for part in halves[0].split(separator: ",", omittingEmptySubsequences: false) {
            let bounds = part.split(separator: ":", omittingEmptySubsequences: false).map { Int($0) }
            guard bounds.count == 2, let first = bounds[0], let end = bounds[1], first >= ranges.last?.upperBound ?? 0,
                first < end, end <= total
            else { return nil }
            ranges.append(first..<end)
        }
        (self.data, self.ranges, self.total) = (data, ranges, total)
    }

    var text: String { ranges.map { "\($0.lowerBound):\($0.upperBound)" }.joined(separator: ",") + " of \(total)" }

    /// Whether nothing is left out of what the runs were about.
    var isWhole: Bool { ranges == [0..<total] }

    /// Whether an input is among both.
    func overlaps(_ other: MeasuredInputs) -> Bool {
        data == other.data && ranges.contains { range in other.ranges.contains(where: range.overlaps) }
    }

    /// Adds other inputs of the same data.
    mutating func formUnion(_ other: MeasuredInputs) {
        var joined: [Range<Int>] = []
        for range in (ranges + other.ranges).sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = joined.last, last.upperBound == range.lowerBound {
                joined[joined.count - 1] = last.lowerBound..<range.upperBound
            } else {
                joined.append(range)
            }
        }
        ranges = joined
        total = max(total, other.total)
    }
}

extension [MeasuredInputs] {
    /// What all of them measure, each set of data once.
    var united: [MeasuredInputs] {
        reduce(into: []) { sets, inputs in
            if let place = sets.firstIndex(where: { $0.data == inputs.data }) {
                sets[place].formUnion(inputs)
            } else {
                sets.append(inputs)
            }
        }
    }
}
