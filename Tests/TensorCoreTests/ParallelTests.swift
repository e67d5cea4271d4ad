import Synchronization
import TensorCore
import Testing

@Suite struct ParallelTests {
    private struct Failure: Error, Equatable { let number: Int }

    @Test(arguments: [1, 2, 5]) func resultsComeInOrder(_ threads: Int) {
        #expect(parallelMap(count: 1000, threads: threads) { $0 * 3 } == (0..<1000).map { $0 * 3 })
        #expect(parallelMap(count: 0, threads: threads) { $0 }.isEmpty)
    }

    @Test(arguments: [1, 2, 5]) func theFirstErrorIsThrownAndNothingNewBegun(_ threads: Int) {
        let begun = Atomic(0)
        let error = #expect(throws: Failure.self) {
            try parallel(count: 100_000, threads: threads) { number in
                begun.wrappingAdd(1, ordering: .relaxed)
                // All that are under way fail: the smallest of them is thrown.
                if number >= 10 { throw Failure(number: number) }
            }
        }
        #expect(error?.number == 10)
        #expect(begun.load(ordering: .relaxed) < 100_000)
    }

    @Test func theProcessMayRunOnACore() { #expect(availableCoreCount >= 1) }
}
