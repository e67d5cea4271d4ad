import Checkpoints
import Merging
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// The method that `docs/contributing/add-a-method.md` works through.
@Suite("the example method") struct ExampleMethodTests {
    private func merged(_ experts: [[Double]], base: [Double], lambda: Double) throws -> [Double] {
        try merge(
            "magmax", base: makeModel([TestTensor("w", base)]), experts.map { try makeModel([TestTensor("w", $0)]) },
            MergeParameters(["lambda": .number(lambda)])
        ).store.values("w")
    }

    @Test("the largest change of every entry counts")
    func byHand() throws {
        // Task vectors [1, -2, 0.25, 0, 1] and [-3, 1, 0, 0, -1]: the largest are -3, -2, 0.25, 0 and, of equal ones, the last.
        let base = [1.0, 1, 1, 1, 0]
        let experts = [[2, -1, 1.25, 1, 1], [-2.0, 2, 1, 1, -1]]
        #expect(try merged(experts, base: base, lambda: 1) == [-2, -1, 1.25, 1, -1])
        // Halved: base + 0.5 · change.
        #expect(try merged(experts, base: base, lambda: 0.5) == [-0.5, 0, 1.125, 1, -0.5])
        #expect(try merged([[.nan], [2]], base: [1], lambda: 1)[0].isNaN)
        #expect(try merged([[2], [.nan]], base: [1], lambda: 1)[0].isNaN)
    }

    @Test("the page shows the example's source, line by line")
    func page() throws {
        let root = Fixtures.folder.removingLastComponent()
        func lines(_ path: String) throws -> [Substring] {
            let text = try MappedFile(root.appending(path)).withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
            return text.split(separator: "\n", omittingEmptySubsequences: false)
        }
        var source = try lines("Sources/Merging/Methods/MagMax.swift")[...]
        var isShown = false
        var count = 0
        for line in try lines("docs/contributing/add-a-method.md") {
            if line.hasPrefix("```") {
                isShown = line == "```swift"
            } else if isShown, !line.isEmpty {
                let place = try #require(source.firstIndex(of: line), "\(line)")
                source = source[(place + 1)...]
                count += 1
            }
        }
        #expect(count > 35)
    }
}
