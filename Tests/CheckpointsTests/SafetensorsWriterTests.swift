import Checkpoints
import SystemPackage
import TensorCore
import TestSupport
import Testing

@Suite struct SafetensorsWriterTests {
    private let folder = TemporaryFolder()

    /// Files of the safetensors library: Fixtures/safetensors/make_fixtures.py, and the corpus.
    @Test(arguments: [
        "safetensors/every_dtype", "safetensors/shapes", "safetensors/names", "safetensors/nothing",
        "conformance/good/safetensors/dtypes_0", "conformance/good/safetensors/dtype_f4",
        "conformance/good/safetensors/order_mixed", "conformance/good/safetensors/names_unicode",
        "conformance/good/safetensors/many_tensors_400", "conformance/good/safetensors/empty_dims",
        "conformance/good/safetensors/torch_written_specials",
    ])
    func writesTheBytesOfTheReferenceLibrary(_ fixture: String) throws {
        let source = try TensorStore(opening: Fixtures.path("\(fixture).safetensors"))
        // Declared in another order than that of the file.
        let descriptors = source.descriptors.sorted { $0.name < $1.name }
        let output = folder.file("copy.safetensors")
        let writer = try SafetensorsWriter(creating: output, declaring: descriptors, metadata: source.metadata)
        try write(try descriptors.map { try #require(try source.copy(of: $0.name)) }, with: writer)
        #expect(try output.contents() == source.path.contents())
    }

    @Test(arguments: DType.allCases.filter { $0 != .c128 })
    func readsBackWhatItWrote(_ dtype: DType) throws {
        var noise = Noise(seed: 7)
        let shapes: [Shape] = [[], [0], [4, 0, 3], [4], [2, 3, 4]]
        let descriptors = try shapes.enumerated().compactMap { index, shape -> TensorDescriptor? in
            // A scalar of four or six bits fills no byte.
            if shape.rank == 0, dtype.bitWidth < 8 { return nil }
            return try TensorDescriptor(name: TensorName("t\(index)"), dtype: dtype, shape: shape)
        }
        let tensors = descriptors.map { noise.bytes($0.byteCount) }
        var metadata = Metadata()
        metadata["b"] = "2"
        metadata["a"] = ""
        let output = folder.file("x.safetensors")
        try write(tensors, with: SafetensorsWriter(creating: output, declaring: descriptors, metadata: metadata))
        let store = try TensorStore(opening: output)
        #expect(Set(store.descriptors) == Set(descriptors))
        for (descriptor, bytes) in zip(descriptors, tensors) { #expect(try store.copy(of: descriptor.name) == bytes) }
        #expect(store.metadata.entries.map(\.key) == ["a", "b"])
    }

    @Test func takesPiecesInAnyOrder() throws {
        let descriptor = try TensorDescriptor(name: "x", dtype: .u8, shape: [6])
        let output = folder.file("x.safetensors")
        let writer = try SafetensorsWriter(creating: output, declaring: [descriptor])
        for start in [4, 0, 2] {
            try [UInt8(start), UInt8(start + 1)].withUnsafeBytes { try writer.write($0, tensor: 0, at: start) }
        }
        let written = try writer.finish()
        #expect(try TensorStore(opening: output).copy(of: "x") == [0, 1, 2, 3, 4, 5])
        #expect(written.files == [output])
        #expect(try output.contents().count == written.byteCount)
    }

    @Test func refusesWhatTheFormatCannotHold() throws {
        func category(_ descriptors: [TensorDescriptor]) -> FormatCategory? {
            do {
                _ = try SafetensorsWriter(creating: folder.file("no.safetensors"), declaring: descriptors)
                return nil
            } catch { return (error as? FormatError)?.category }
        }
        let x = try TensorDescriptor(name: "x", dtype: .f32, shape: [1])
        #expect(category([try TensorDescriptor(name: "c", dtype: .c128, shape: [1])]) == .unsupportedDtype)
        #expect(category([x, x]) == .duplicateKey)
        #expect(category([x.renamed("__metadata__")]) == .badName)
        let huge = try TensorDescriptor(name: "h", dtype: .u8, shape: [Int.max / 8])
        #expect(category((0..<9).map { huge.renamed(TensorName("h\($0)")) }) == .overflow)
        #expect(folder.path.listing().isEmpty)
    }

    /// Canonically equivalent names are two names.
    @Test func keepsNamesApartByTheirBytes() throws {
        let names: [TensorName] = ["\u{e9}", "e\u{301}"]
        let descriptors = try names.map { try TensorDescriptor(name: $0, dtype: .u8, shape: [1]) }
        let output = folder.file("x.safetensors")
        try write([[1], [2]], with: SafetensorsWriter(creating: output, declaring: descriptors))
        let store = try TensorStore(opening: output)
        #expect(try store.copy(of: names[0]) == [1])
        #expect(try store.copy(of: names[1]) == [2])
    }
}
