import Checkpoints
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// The corpus of files that other software wrote or that break one rule each; see Fixtures/conformance/README.md.
@Suite struct SafetensorsConformanceTests {
    typealias Case = ConformanceCase

    static func cases(_ kind: String) throws -> [Case] {
        try Case.all(kind, "safetensors", ending: ".safetensors")
            + Case.all(kind, "index", ending: "/model.safetensors.index.json")
    }

    @Test func theCorpusIsThere() throws {
        #expect(try Self.cases("good").count == 21)
        #expect(try Self.cases("bad").count == 81)
    }

    @Test(arguments: try cases("good")) func readsWhatOtherSoftwareWrote(_ item: Case) throws {
        let store = try TensorStore(opening: item.path)
        let tensors = try #require(item.expected["tensors"]?.array)
        #expect(store.descriptors.count == tensors.count)
        for tensor in tensors {
            let name = TensorName(try #require(tensor["name"]?.string))
            let descriptor = try #require(store.descriptor(named: name), "\(name)")
            #expect(descriptor.dtype.rawValue == tensor["dtype"]?.string)
            #expect(descriptor.shape.dims == tensor["shape"]?.array?.compactMap(\.int))
            #expect(descriptor.byteCount == tensor["nbytes"]?.int)
            let bytes = try #require(try store.bytes(of: name))
            #expect(bytes.withUnsafeBytes { TensorDigest(of: $0).hexadecimal } == tensor["sha256"]?.string, "\(name)")
        }
        if let metadata = item.expected["metadata"]?.object.map({ Array($0) }) {
            #expect(store.metadata.entries.count == metadata.count)
            for member in metadata { #expect(store.metadata[member.key] == member.value.string) }
        }
        #expect(try store.reader.verify().damage.isEmpty)
    }

    @Test(arguments: try cases("bad")) func refusesWhatBreaksARule(_ item: Case) throws {
        do {
            let store = try TensorStore(opening: item.path)
            // Unknown fields are tolerated, but not silently.
            #expect(item.text("level") == "either", "\(item.text("why") ?? "")")
            #expect(!store.reader.warnings.isEmpty)
        } catch let error as FormatError {
            #expect(error.category.rawValue == item.text("category"), "\(item.text("why") ?? ""): \(error.message)")
        }
    }

    /// The order of the file: of two tensors in one file, the one listed first lies first.
    @Test(arguments: try cases("good")) func listsTensorsInTheOrderOfTheirData(_ item: Case) throws {
        let reader = try CheckpointFormat.open(item.path)
        let places = reader.descriptors.indices.map(reader.location(of:))
        for (a, b) in zip(places, places.dropFirst()) where a.file == b.file {
            #expect(a.range.upperBound == b.range.lowerBound)
        }
    }

    @Test func warnsOfWhiteSpaceBeforeTheHeader() throws {
        let reader = try CheckpointFormat.open(Fixtures.path("conformance/good/safetensors/leading_space.safetensors"))
        #expect(reader.warnings.map(\.text) == ["the header begins with white space"])
    }
}
