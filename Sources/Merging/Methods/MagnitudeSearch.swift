import Kernels

/// The way to the largest numbers of one stream, step by step; each step is a pass over the chunks.
///
/// Within a tensor a sample and a pass around what it foretells find the magnitude of the last number; where the sample misled,
/// and over a model, two passes count all magnitudes. Then the last number of just this magnitude is located, unless all of
/// them belong to the largest.
struct MagnitudeSearch {
    enum Step {
        case sample
        case scan(MagnitudeBracket)
        case count
        case compare
        case locate(chunk: Int, number: Int)
        case done

        var isDone: Bool { if case .done = self { true } else { false } }
    }

    /// How many steps there may be, in a tensor and over a model.
    static let longest = 6
    static let longestOverModel = 2
    /// Below this everything is listed instead of sampled.
    private static let smallest = 1 << 14

    private(set) var step = Step.done
    private(set) var cut: MagnitudeCut
    private let wanted: Int
    private let elementCount: Int
    private let equals: MagnitudeCut.Equals
    private var selection: MagnitudeSelection?
    private var found: MagnitudeSelection.Found?
    // By chunk.
    private var samples: [Int: [UInt32]] = [:]
    private var tallies: [Int: MagnitudeBracket.Tally] = [:]
    private var equalCounts: [Int: Int] = [:]
    private var listedCount = 0

    /// Looks for the magnitude that so many numbers reach.
    ///
    /// - Parameters:
    ///   - wanted: how many numbers, at most as many as there are; nil for all.
    ///   - elementCount: the numbers of the stream.
    init(wanted: Int?, elementCount: Int, equals: MagnitudeCut.Equals) {
        self.wanted = wanted ?? 0
        self.elementCount = elementCount
        self.equals = equals
        cut = wanted == nil ? .all : .none
        guard self.wanted > 0 else { return }
        switch equals {
        case .firstInTensor: step = elementCount < Self.smallest ? .scan(.everything) : .sample
        case .all:
            step = .count
            selection = MagnitudeSelection(rank: self.wanted)
        }
    }

    /// Of how many numbers one is sampled; whole runs are.
    static func sampleStride(elementCount: Int) -> Int {
        max(1, elementCount / min(max(elementCount / 128, 1 << 13), 1 << 21))
    }

    /// Keys that are listed at most before the search counts instead.
    private var listLimit: Int {
        guard elementCount >= Self.smallest else { return elementCount }
        let expected = MagnitudeBracket.expectedListCount(
            sampleCount: elementCount / Self.sampleStride(elementCount: elementCount), rank: wanted, of: elementCount)
        return expected + expected / 4
    }

    /// What the search holds at most, and for a moment once more when a step ends.
    var byteCount: Int {
        guard wanted > 0 else { return 0 }
        guard equals == .firstInTensor else { return MagnitudeSelection.byteCount }
        guard elementCount >= Self.smallest else { return 4 * elementCount }
        let sampled = elementCount / Self.sampleStride(elementCount: elementCount)
        return max(MagnitudeSelection.byteCount, 4 * max(sampled, listLimit))
    }

    /// Whether the search may come to count magnitudes in a table.
    var mayCount: Bool { wanted > 0 && (equals == .all || elementCount >= Self.smallest) }

    /// What is to be done with a chunk, without what was found in others.
    struct Task: Sendable {
        let step: Step
        let key: UInt32
        /// In the step `count`.
        let counter: MagnitudeSelection.Counter?
        /// In the step `scan`: keys that are listed at most.
        let listLimit: Int
    }

    var task: Task { Task(step: step, key: cut.key, counter: selection?.counter, listLimit: listLimit) }

    mutating func add(sample: [UInt32], ofChunk chunk: Int) { samples[chunk] = sample }
    mutating func add(_ counts: UnsafePointer<UInt32>) { selection?.absorb(counts) }
    mutating func add(equalCount: Int, ofChunk chunk: Int) { equalCounts[chunk] = equalCount }
    mutating func locate(_ index: Int) { cut.lastEqualIndex = index }
    mutating func add(_ tally: MagnitudeBracket.Tally, ofChunk chunk: Int) {
        listedCount += tally.listedCount
        tallies[chunk] = tally
        if listedCount > listLimit { tallies = [:] }
    }

    /// Goes on to the next step when all chunks have been seen.
    mutating func advance() {
        switch step {
        case .sample:
            let sample = samples.sorted { $0.key < $1.key }.flatMap(\.value)
            samples = [:]
            step = .scan(MagnitudeBracket(sample: sample, rank: wanted, of: elementCount))
        case .scan(let bracket):
            if listedCount <= listLimit,
                let found = MagnitudeBracket.resolve(Array(tallies.values), bracket, rank: wanted)
            {
                equalCounts = tallies.mapValues { bracket.count(of: found.key, in: $0) }
                settle(found)
            } else {
                selection = MagnitudeSelection(rank: wanted)
                step = .count
            }
            tallies = [:]
        case .count:
            selection?.finishPass()
            guard let found = selection?.result else { return }
            selection = nil
            settle(found)
        case .compare:
            guard let found else { return }
            settle(found)
        case .locate, .done: step = .done
        }
    }

    /// Goes on from the magnitude of the last number.
    private mutating func settle(_ found: MagnitudeSelection.Found) {
        self.found = found
        cut = MagnitudeCut(key: found.key)
        var remaining = wanted - found.largerCount
        guard equals == .firstInTensor, remaining < found.equalCount else {
            step = .done
            return
        }
        guard !equalCounts.isEmpty else {
            step = .compare
            return
        }
        for (chunk, count) in equalCounts.sorted(by: { $0.key < $1.key }) {
            step = .locate(chunk: chunk, number: remaining)
            if remaining <= count { break }
            remaining -= count
        }
        equalCounts = [:]
    }
}
