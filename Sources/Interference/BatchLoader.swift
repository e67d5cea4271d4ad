import Dispatch
import Networks
import Synchronization

/// Reads the inputs of a batch while the batch before is at work.
///
/// Inputs that are in memory are lent as they are.
final class BatchLoader: Sendable {
    private let inputs: InputSet
    /// What is being read.
    private let ahead = Mutex<Reading?>(nil)

    init(_ inputs: InputSet) { self.inputs = inputs }

    /// The inputs of some rows, and begins to read those that will be asked for next.
    ///
    /// - Throws: what reading a stream throws.
    func load(_ rows: [Int], next: @autoclosure () -> [Int]?) throws -> LoadedInputs {
        guard case .stream = inputs else { return try inputs.loaded(rows) }
        let begun = ahead.withLock { reading in
            defer { reading = nil }
            return reading?.rows == rows ? reading : nil
        }
        let batch = try (begun ?? Reading(rows, of: inputs)).wait()
        if let next = next() { ahead.withLock { $0 = Reading(next, of: inputs) } }
        return batch
    }

    /// A batch that another thread reads.
    private final class Reading: Sendable {
        let rows: [Int]
        private let result = Mutex<Result<LoadedInputs, any Error>?>(nil)
        private let done = DispatchSemaphore(value: 0)

        init(_ rows: [Int], of inputs: InputSet) {
            self.rows = rows
            DispatchQueue.global().async { [self] in
                let loaded = Result { try inputs.loaded(rows) }
                result.withLock { $0 = loaded }
                done.signal()
            }
        }

        /// Waits for the batch.
        ///
        /// - Throws: what reading throws.
        func wait() throws -> LoadedInputs {
            done.wait()
            guard let result = result.withLock({ $0 }) else {
                preconditionFailure("a result is there when it is signalled")
            }
            return try result.get()
        }
    }
}
