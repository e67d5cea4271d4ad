import Checkpoints
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// The conformance files of the PyTorch format: what must be read, and what must be refused and why.
@Suite struct TorchConformanceTests {
    typealias Case = ConformanceCase

    static func cases(_ kind: String) throws -> [Case] { try Case.all(kind, "torch", ending: ".pt") }

    /// Files of this kind are read although the reference would rather not: the record is unpacked.
    static let readAllTheSame: Set<String> = ["record_deflated"]

    @Test func theFilesAreThere() throws {
        #expect(try Self.cases("good").count == 16)
        #expect(try Self.cases("bad").count == 56)
    }

    @Test(arguments: try cases("good")) func readsWhatIsGood(_ test: Case) throws {
        let expected = try test.expectation()
        let reader = try TorchReader(opening: test.path)
        #expect(
            try NpyTensorSummary.all(reader).sorted { $0.name < $1.name }
                == expected.tensors.sorted { $0.name < $1.name })
        #expect(try reader.verify().damage.isEmpty)
        // Range by range, too: each byte by itself, and all in pieces of seven.
        for index in reader.descriptors.indices where reader.canReadRanges(of: index) {
            let whole = try reader.bytes(of: index).withUnsafeBytes { Array($0) }
            for step in [1, 7] {
                var pieces: [UInt8] = []
                for start in stride(from: 0, to: whole.count, by: step) {
                    var piece = [UInt8](repeating: 0, count: min(step, whole.count - start))
                    try piece.withUnsafeMutableBytes { try reader.read(start..<start + $0.count, of: index, into: $0) }
                    pieces += piece
                }
                #expect(pieces == whole)
            }
        }
    }

    @Test(.timeLimit(.minutes(1)), arguments: try cases("bad")) func refusesWhatIsBad(_ test: Case) throws {
        let expected = try test.expectation()
        let start = ContinuousClock.now
        let refusal = npyRefusal { _ = try NpyTensorSummary.all(TorchReader(opening: test.path)) } ?? "read"
        #expect(ContinuousClock.now - start < .seconds(5))
        let wanted = Self.readAllTheSame.contains(test.name) ? "read" : expected.category
        #expect(refusal == wanted, "\(test.testDescription): \(refusal)")
    }

    /// The name and the place of what would have been called, as pickletools shows it.
    @Test func namesWhatWouldHaveBeenCalled() throws {
        let path = Fixtures.path("conformance/bad/torch/global_os_system.pt")
        let error = try #require(throws: FormatError.self) { _ = try TorchReader(opening: path) }
        #expect(error.message.contains("os.system") || error.message.contains("posix.system"))
        let offset = Int(try #require(error.byteOffset))
        let bytes = try npyFileBytes(path)
        #expect(bytes[offset] == UInt8(ascii: "c"))
        #expect(
            bytes[(offset + 1)...].starts(with: "os\nsystem\n".utf8)
                || bytes[(offset + 1)...].starts(with: "posix\nsystem\n".utf8))
    }

    /// The program is left out, and `state_dict()` of the module has these two tensors.
    @Test func readsTheWeightsOfTorchScriptWhenAsked() throws {
        let path = Fixtures.path("conformance/bad/torch/torchscript.pt")
        let reader = try TorchReader(opening: path, options: ReadOptions(root: "."))
        #expect(reader.descriptors.map(\.name) == ["weight", "bias"])
        #expect(reader.descriptors.map(\.shape) == [[2, 2], [2]])
        #expect(try reader.verify().damage.isEmpty)
    }
}
