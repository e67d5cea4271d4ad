import Checkpoints
import Merging
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// The method that `docs/contributing/add-a-method.md` works through.
@Suite("the example method") struct ExampleMethodTests {
    private func merge(_ experts: [[Double]], base: [Double], _ parameters: MergeParameters) throws -> [Double] {
        let plan = try MergePlan(
            method: MagMax(), base: try makeModel([TestTensor("w", base)]),
            experts: try experts.map { (name: "expert", store: try makeModel([TestTensor("w", $0)])) },
            parameters: parameters)
        let writer = try MemoryCheckpointWriter(declaring: plan.outputs)
        _ = try plan.execute(into: writer)
        _ = try writer.finish()
        return try TensorStore(try #require(writer.checkpoint)).values("w")
    }

    @Test("the largest change of every entry counts")
    func byHand() throws {
        // Task vectors [1, -2, 0.25, 0, 1] and [-3, 1, 0, 0, -1]: the largest are -3, -2, 0.25, 0 and, of equal ones, the first.
        let base = [1.0, 1, 1, 1, 0]
        let experts = [[2, -1, 1.25, 1, 1], [-2.0, 2, 1, 1, -1]]
        #expect(try merge(experts, base: base, MergeParameters()) == [-2, -1, 1.25, 1, 1])
        // Halved: base + 0.5 · change.
        #expect(try merge(experts, base: base, MergeParameters(["lambda": .number(0.5)])) == [-0.5, 0, 1.125, 1, 0.5])
        // Without changes up to 1.
        #expect(try merge(experts, base: base, MergeParameters(["floor": .number(1)])) == [-2, -1, 1, 1, 0])
        // The first expert's count four times: [4, -8, 1, 0, 4].
        let weights = MergeParameters(["weight": .list([.number(4), .number(1)])])
        #expect(try merge(experts, base: base, weights) == [5, -7, 2, 1, 4])
        #expect(try merge([[.nan], [2]], base: [1], MergeParameters())[0].isNaN)
    }

    @Test("values outside the declared range are refused")
    func range() throws {
        let error = try #require(throws: MergeError.self) {
            try merge([[2]], base: [1], MergeParameters(["floor": .number(-1)]))
        }
        #expect(error.code == "merge.bad_parameter" && error.message.contains("a number of at least 0, not -1"))
    }

    @Test("the page shows the example's source, line by line")
    func page() throws {
        let root = Fixtures.folder.removingLastComponent()
        func lines(_ path: String) throws -> [Substring] {
            let text = try MappedFile(root.appending(path)).withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
            return text.split(separator: "\n", omittingEmptySubsequences: false)
        }
        var source = try lines("Tests/MergingTests/MagMax.swift")[...]
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
        #expect(count > 50)
    }
}
