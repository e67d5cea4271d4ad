import Kernels

/// Numbers over a chunk, in several streams, of which the largest are looked for.
protocol NumberStreams<Scalar> {
    associatedtype Scalar: ElementwiseScalar
    var chunk: MergeChunk { get }

    /// The numbers of a stream from an offset in the chunk on, at most a block of them; valid until the next call.
    mutating func read(_ stream: Int, from offset: Int, count: Int) -> UnsafePointer<Scalar>
}

/// What one chunk contributes to the step of a stream's search.
struct ChunkSearch {
    let stream: Int
    let counter: MagnitudeSelection.Counter?
    /// Counters for `counter`, of which a step of that kind needs `MagnitudeSelection.binCount`.
    var table: UnsafeMutablePointer<UInt32>?
    private let step: MagnitudeSearch.Step
    private let key: UInt32
    private let chunk: Int
    private let elementCount: Int
    private let listLimit: Int
    private var keys: [UInt32] = []
    private var tally = MagnitudeBracket.Tally()
    private var equalCount = 0
    private var index: Int?

    /// Nil when the search is over or needs nothing of the chunk.
    init?(_ task: MagnitudeSearch.Task, stream: Int, chunk: Int, elementCount: Int) {
        switch task.step {
        case .done: return nil
        case .locate(let wanted, _) where wanted != chunk: return nil
        case .count: counter = task.counter
        default: counter = nil
        }
        step = task.step
        key = task.key
        self.stream = stream
        self.chunk = chunk
        self.elementCount = elementCount
        listLimit = task.listLimit
    }

    /// Whether the step goes through the chunk's numbers.
    var isReading: Bool {
        switch step {
        case .sample, .done: false
        case .scan, .count, .compare: true
        case .locate: index == nil
        }
    }

    /// Samples the chunk if that is the step: runs of 32 numbers at places that are spread by chance, so that the columns of
    /// a matrix have equal chances.
    mutating func sample(_ streams: inout some NumberStreams) {
        guard case .sample = step else { return }
        let length = 32
        let stretch = length * MagnitudeSearch.sampleStride(elementCount: elementCount)
        let generator = CounterGenerator(seed: 0, stream: UInt64(chunk))
        keys.reserveCapacity(length * (streams.chunk.count / stretch + 1))
        for start in stride(from: 0, to: streams.chunk.count, by: stretch) {
            let count = min(length, streams.chunk.count - start)
            let room = min(stretch, streams.chunk.count - start) - count
            let offset = start + generator.below(room + 1, UInt64(start))
            let values = streams.read(stream, from: offset, count: count)
            for i in 0..<count { keys.append(values[i].magnitudeKey) }
        }
    }

    /// Takes the next numbers.
    ///
    /// - Parameter start: the flat index of the first.
    @inline(__always)
    mutating func take<T: ElementwiseScalar>(_ values: UnsafePointer<T>, start: Int, count: Int) {
        switch step {
        case .scan(let bracket):
            // Too long a list is thrown away, so that the rest of the chunk need not be looked at.
            guard tally.listedCount <= listLimit else { return }
            bracket.tally(values, count: count, into: &tally)
        case .count:
            if let table { counter?.count(values, count: count, into: table) }
        case .compare: equalCount += countMagnitudes(values, equalTo: key, count: count)
        case .locate(_, let number):
            let equal = countMagnitudes(values, equalTo: key, count: count)
            if equalCount + equal >= number {
                for i in 0..<count where index == nil && values[i].magnitudeKey == key {
                    equalCount += 1
                    if equalCount == number { index = start + i }
                }
            } else {
                equalCount += equal
            }
        case .sample, .done: break
        }
    }

    func deliver(to search: inout MagnitudeSearch) {
        switch step {
        case .sample: search.add(sample: keys, ofChunk: chunk)
        case .scan: search.add(tally, ofChunk: chunk)
        case .count: if let table { search.add(table) }
        case .compare: search.add(equalCount: equalCount, ofChunk: chunk)
        case .locate: if let index { search.locate(index) }
        case .done: break
        }
    }
}
