import SystemPackage
import TensorCore
import Testing
import TestSupport

/// The architecture that `docs/contributing/add-an-architecture.md` works through.
@Suite struct ExampleArchitectureTests {
    @Test func thePageShowsTheSource() throws {
        let root = Fixtures.folder.removingLastComponent()
        func lines(_ path: FilePath) throws -> [Substring] {
            String(decoding: try contents(root.pushing(path)), as: UTF8.self).split(separator: "\n")
        }
        var shown: [Substring] = []
        var isCode = false
        for line in try lines("docs/contributing/add-an-architecture.md") {
            if line.hasPrefix("```") { isCode = line == "```swift" } else if isCode { shown.append(line) }
        }
        #expect(try shown == lines("Sources/Experts/Architectures/DistilBERT.swift"))
    }
}
