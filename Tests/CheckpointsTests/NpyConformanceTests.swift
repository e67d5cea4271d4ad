import Checkpoints
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// The conformance files of the .npy and .npz formats: what must be read, and what must be refused and why.
@Suite struct NpyConformanceTests {
    typealias Case = ConformanceCase

    static func cases(_ kind: String) throws -> [Case] {
        try ["npy", "npz"].flatMap { try Case.all(kind, $0, ending: ".\($0)") }
    }

    /// Categories that name the same bytes from another side.
    static let neighbours: [String: Set<String>] = [
        // A length field of 2^31: over the limit, and over the end.
        "header_len_big": ["header_too_large"],
        // Only a ratio: read with a warning.
        "bomb_1000x": ["read"],
    ]

    @Test func theFilesAreThere() throws {
        #expect(try Self.cases("good").count == 37)
        #expect(try Self.cases("bad").count == 81)
    }

    @Test(arguments: try cases("good")) func readsWhatIsGood(_ test: Case) throws {
        let expected = try test.expectation()
        if expected.tensors.contains(where: { $0.dtype.hasPrefix("V") }) { return try checkVoid(test, expected) }
        // The expectations are in the order of names, the files in any.
        let read = try NpyTensorSummary.readThrough(test.path)
        #expect(read.sorted { $0.name < $1.name } == expected.tensors.sorted { $0.name < $1.name })
        let reader: any CheckpointReader =
            test.path.extension == "npy"
            ? try NpyReader(opening: test.path, options: ReadOptions())
            : try NpzReader(opening: test.path, options: ReadOptions())
        let verification = try reader.verify()
        #expect(verification.damage.isEmpty)
        #expect(verification.checkedByteCount > 0)
    }

    /// Elements whose type was lost are refused with the way out, and read when their type is named.
    private func checkVoid(_ test: Case, _ expected: NpyExpectation) throws {
        let error = try #require(throws: FormatError.self) { try NpyTensorSummary.readThrough(test.path) }
        #expect(error.category == .unsupportedDtype)
        #expect(error.hint?.contains("--npy-void") == true)
        let lost = expected.tensors[0]
        let named: DType = lost.dtype == "V2" ? .bf16 : .f8E4M3
        let wrong: DType = lost.dtype == "V2" ? .f8E4M3 : .bf16
        let read = try NpyTensorSummary.readThrough(test.path, options: ReadOptions(npyVoid: VoidTypes(named)))
        #expect(
            read == [NpyTensorSummary(name: lost.name, dtype: named.rawValue, shape: lost.shape, sha256: lost.sha256)])
        #expect(
            npyRefusal {
                _ = try NpyTensorSummary.readThrough(test.path, options: ReadOptions(npyVoid: VoidTypes(wrong)))
            }
                == "unsupported_dtype")
    }

    @Test(.timeLimit(.minutes(1)), arguments: try cases("bad")) func refusesWhatIsBad(_ test: Case) throws {
        let expected = try test.expectation()
        let refusal = npyRefusal { _ = try NpyTensorSummary.readThrough(test.path) } ?? "read"
        let allowed = Self.neighbours[test.name, default: []].union(expected.category.map { [$0] } ?? [])
        #expect(allowed.contains(refusal), "\(test.testDescription) gave \(refusal), expected \(allowed)")
    }

    @Test func readsMinifloatsThatNumPyCannot() throws {
        let path = Fixtures.path("conformance/bad/npy/descr_f1.npy")
        let read = try NpyTensorSummary.readThrough(path, options: ReadOptions(npyVoid: VoidTypes(.f8E5M2)))
        #expect(read.map(\.dtype) == ["F8_E5M2"])
        #expect(
            npyRefusal { _ = try NpyTensorSummary.readThrough(path, options: ReadOptions(npyVoid: VoidTypes(.f8E4M3))) }
                == "unsupported_dtype")
    }

    @Test func warnsOfAnExpansionBeyondAThousand() throws {
        let bomb = try NpzReader(
            opening: Fixtures.path("conformance/bad/npz/bomb_1000x.npz"), options: ReadOptions())
        #expect(bomb.warnings.count == 1)
        let honest = try NpzReader(
            opening: Fixtures.path("conformance/good/npz/big_deflated_zeros.npz"), options: ReadOptions())
        #expect(honest.warnings.isEmpty)
    }
}
