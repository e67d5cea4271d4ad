import Checkpoints
import SystemPackage
import TestSupport
import Testing

/// One file of the conformance corpus with what is expected of it; see Fixtures/conformance/README.md.
struct ConformanceCase: CustomTestStringConvertible, Sendable {
    let path: FilePath
    let expected: JSONValue
    var name: String { path.stem ?? "" }
    var testDescription: String { path.lastComponent?.string ?? "" }

    func text(_ key: String) -> String? { expected[key]?.string }

    /// The expected tensors.
    func expectation() throws -> NpyExpectation { try NpyExpectation(expected) }

    /// The files of a format, by name.
    ///
    /// - Parameters:
    ///   - kind: `good` or `bad`.
    ///   - format: the folder.
    ///   - ending: what follows the names of the cases.
    static func all(_ kind: String, _ format: String, ending: String) throws -> [ConformanceCase] {
        let folder = Fixtures.path("conformance/\(kind)/\(format)")
        return try folder.listing().filter { $0.hasSuffix(".expected.json") }.map { name in
            ConformanceCase(
                path: folder.pushing(FilePath(name.dropLast(".expected.json".count) + ending)),
                expected: try JSONDocument.parse(folder.appending(name).contents()))
        }
    }
}
