import Checkpoints
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// The GGUF files of the conformance corpus: what must be read, and what must be refused and why.
@Suite struct GGUFConformanceTests {
    typealias Case = ConformanceCase

    static func cases(_ kind: String) throws -> [Case] { try Case.all(kind, "gguf", ending: ".gguf") }

    @Test func theCorpusIsThere() throws {
        #expect(try Self.cases("good").count == 14)
        #expect(try Self.cases("bad").count == 32)
    }

    @Test(arguments: try cases("good")) func readsWhatOtherSoftwareWrote(_ item: Case) throws {
        if item.path.stem == "big_endian" {
            let error = try #require(throws: FormatError.self) { try GGUFReader(opening: item.path) }
            #expect(error.category == .unsupportedVersion)
            #expect(error.message.contains("big-endian"))
            return
        }
        let reader = try GGUFReader(opening: item.path)
        let tensors = try #require(item.expected["tensors"]?.array)
        #expect(reader.descriptors.count == tensors.count)
        for (index, tensor) in tensors.enumerated() {
            let descriptor = reader.descriptors[index]
            #expect(descriptor.name.text == tensor["name"]?.string)
            #expect(descriptor.layout.name == tensor["dtype"]?.string)
            #expect(descriptor.shape.dims == tensor["shape"]?.array?.compactMap(\.int))
            #expect(descriptor.byteCount == tensor["nbytes"]?.int)
            let bytes = reader.bytes(of: index)
            #expect(bytes.withUnsafeBytes { TensorDigest(of: $0).hexadecimal } == tensor["sha256"]?.string)
            if let expected = tensor["f32_sha256"]?.string {
                #expect(try dequantizedDigest(descriptor, bytes) == expected)
            }
        }
        #expect(try reader.verify().damage.isEmpty)
    }

    private func dequantizedDigest(_ descriptor: TensorDescriptor, _ bytes: TensorBytes) throws -> String? {
        guard case .blocks(let type) = descriptor.layout else { return nil }
        let numbers = try FloatBuffer(count: descriptor.elementCount)
        bytes.withUnsafeBytes { type.dequantize($0, into: numbers.pointer) }
        return withExtendedLifetime(numbers) {
            TensorDigest(of: UnsafeRawBufferPointer(UnsafeBufferPointer(numbers.values))).hexadecimal
        }
    }

    @Test(arguments: try cases("bad")) func refusesWhatBreaksARule(_ item: Case) throws {
        let error = try #require(throws: FormatError.self, "\(item.text("why") ?? "")") {
            try GGUFReader(opening: item.path)
        }
        #expect(error.category.rawValue == item.text("category"), "\(item.text("why") ?? ""): \(error.message)")
        #expect(error.file == item.path.string)
    }

    @Test func keepsTypesOfMetadata() throws {
        let nested = try GGUFReader(opening: Fixtures.path("conformance/good/gguf/array_of_array.gguf"))
        guard case .array(let array)? = nested.typedMetadata["a"] else { return #expect(Bool(false), "no array") }
        #expect(array.kind == .array)
        let plain = try GGUFReader(opening: Fixtures.path("conformance/good/gguf/no_tensors.gguf"))
        #expect(plain.typedMetadata.entries.map(\.key) == ["general.architecture", "x"])
        #expect(plain.typedMetadata["general.architecture"] == .string("llama"))
        #expect(plain.metadata["general.architecture"] == "llama")
    }
}
