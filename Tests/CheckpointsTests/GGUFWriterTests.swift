import Checkpoints
import Foundation
import SystemPackage
import TensorCore
import TestSupport
import Testing

@Suite struct GGUFWriterTests {
    private let folder = TemporaryFolder()

    private static let metadata: GGUFMetadata = {
        var metadata = GGUFMetadata()
        metadata["general.architecture"] = .string("llama")
        metadata["a.u8"] = .uint8(255)
        metadata["a.i8"] = .int8(-128)
        metadata["a.u16"] = .uint16(65_535)
        metadata["a.i16"] = .int16(-32_768)
        metadata["a.u32"] = .uint32(.max)
        metadata["a.i32"] = .int32(.min)
        metadata["a.u64"] = .uint64(.max)
        metadata["a.i64"] = .int64(.min)
        metadata["a.f32"] = .float32(0.1)
        metadata["a.f64"] = .float64(0.1)
        metadata["a.yes"] = .bool(true)
        metadata["a.text"] = .string("\u{E9}\n\0")
        metadata["a.words"] = .array(GGUFArray(.string, ["one", "", "\u{1F999}"].map(GGUFValue.string)))
        metadata["a.numbers"] = .array(GGUFArray(.int32, (-5..<5).map(GGUFValue.int32)))
        metadata["a.none"] = .array(GGUFArray(.float32, []))
        return metadata
    }()

    private static func tensors() throws -> [(descriptor: TensorDescriptor, bytes: [UInt8])] {
        var noise = Noise(seed: 5)
        return try [
            ("z.first", .plain(.f32), [3, 5]), ("scalar", .plain(.f64), []), ("empty", .plain(.f16), [0, 4]),
            ("half", .plain(.bf16), [7]), ("q8", .blocks(.q8_0), [3, 64]), ("q4k", .blocks(.q4K), [2, 256]),
            ("iq1", .blocks(.iq1M), [256]), ("whole", .plain(.i8), [2, 1, 3, 1]), ("long", .plain(.i64), [2]),
        ].map { (name: String, layout: ElementLayout, shape: Shape) in
            let descriptor = try TensorDescriptor(name: TensorName(name), layout: layout, shape: shape)
            return (descriptor, noise.bytes(descriptor.byteCount))
        }
    }

    private func writeAll(_ path: FilePath) throws {
        let tensors = try Self.tensors()
        let writer = try GGUFWriter(
            creating: path, declaring: tensors.map(\.descriptor), metadata: Self.metadata,
            options: WriteOptions(sync: false))
        let written = try write(tensors.map(\.bytes), with: writer)
        #expect(written.byteCount == (try path.contents().count))
    }

    @Test func readsBackWhatItWrote() throws {
        let path = folder.file("x.gguf")
        try writeAll(path)
        let reader = try GGUFReader(opening: path)
        #expect(reader.typedMetadata == Self.metadata)
        for (index, tensor) in try Self.tensors().enumerated() {
            #expect(reader.descriptors[index] == tensor.descriptor)
            #expect(reader.bytes(of: index).withUnsafeBytes(Array.init) == tensor.bytes)
            #expect(reader.location(of: index).range.lowerBound % 32 == 0)
        }
    }

    /// The same tensors in any order of writing make the same bytes, with zeros between.
    @Test func theOrderOfWritingDoesNotMatter() throws {
        try writeAll(folder.file("a.gguf"))
        let tensors = try Self.tensors()
        let writer = try GGUFWriter(
            creating: folder.file("b.gguf"), declaring: tensors.map(\.descriptor), metadata: Self.metadata,
            options: WriteOptions(sync: false))
        for (index, tensor) in tensors.enumerated().reversed() {
            for (offset, byte) in tensor.bytes.enumerated() {
                try withUnsafeBytes(of: byte) { try writer.write($0, tensor: index, at: offset) }
            }
        }
        _ = try writer.finish()
        let isTheSame = try folder.file("a.gguf").contents() == folder.file("b.gguf").contents()
        #expect(isTheSame)
    }

    /// Another alignment was that of the data it came with.
    @Test func writesItsOwnAlignment() throws {
        var metadata = Self.metadata
        metadata["general.alignment"] = .uint32(1 << 31)
        let writer = try GGUFWriter(
            creating: folder.file("x.gguf"), declaring: [], metadata: metadata, options: WriteOptions(sync: false))
        _ = try writer.finish()
        #expect(try GGUFReader(opening: folder.file("x.gguf")).typedMetadata == Self.metadata)
    }

    @Test func refusesWhatTheFormatCannotHold() throws {
        func refusal(_ name: String, _ layout: ElementLayout, _ shape: Shape, count: Int = 1) throws -> FormatCategory?
        {
            let descriptor = try TensorDescriptor(name: TensorName(name), layout: layout, shape: shape)
            let descriptors = [TensorDescriptor](repeating: descriptor, count: count)
            do {
                _ = try GGUFWriter(creating: folder.file("x.gguf"), declaring: descriptors, metadata: GGUFMetadata())
                return nil
            } catch let error as FormatError { return error.category }
        }
        #expect(try refusal("a", .plain(.u8), [4]) == .unsupportedDtype)
        #expect(try refusal("a", .plain(.f8E4M3), [4]) == .unsupportedDtype)
        #expect(try refusal("a", .plain(.bool), [4]) == .unsupportedDtype)
        #expect(try refusal("a", .blocks(.q8_0), [64, 16]) == .badShape)
        #expect(try refusal("a", .plain(.f32), [1, 1, 1, 1, 1]) == .badShape)
        #expect(try refusal(String(repeating: "n", count: 63), .plain(.f32), [1]) == nil)
        #expect(try refusal(String(repeating: "n", count: 64), .plain(.f32), [1]) == .badName)
        #expect(try refusal("a", .plain(.f32), [1], count: 2) == .duplicateKey)
        #expect(!folder.file("x.gguf").isThere)
    }

    /// What would not be read is not written.
    @Test func refusesAHeadBeyondTheLimits() throws {
        let empty = try TensorDescriptor(name: "a", dtype: .f32, shape: [0])
        var text = GGUFMetadata()
        text["text"] = .string(String(repeating: "x", count: 100_000_000))
        var many = Metadata()
        for number in 0...10_000 { many["\(number)"] = "" }
        let tensors = (0...100_000).map { empty.renamed(TensorName("\($0)")) }
        for (descriptors, metadata) in [([], text), ([], GGUFMetadata(many)), (tensors, GGUFMetadata())] {
            let error = try #require(throws: FormatError.self) {
                _ = try GGUFWriter(creating: folder.file("x.gguf"), declaring: descriptors, metadata: metadata)
            }
            #expect(error.category == .limitExceeded)
        }
        #expect(!folder.file("x.gguf").isThere)
    }

    @Test func abbreviatesLongArrays() {
        let numbers = GGUFArray(.uint32, (0..<1000).map { GGUFValue.uint32($0) })
        #expect(GGUFValue.array(numbers).description == "[0, 1, 2, 3, 4, 5, ... 1000 in all]")
        let words = GGUFArray(.string, [.string("a"), .string("b")])
        #expect(words.description == #"["a", "b"]"#)
    }

    // MARK: gguf-py

    /// The Python that UNTANGLE_PYTHON names, else python3; nil when it lacks gguf.
    private static let python: String? = {
        let python = ProcessInfo.processInfo.environment["UNTANGLE_PYTHON"] ?? "python3"
        return programOutput(python, ["-c", "import gguf"]) == nil ? nil : python
    }()

    @Test(.enabled(if: python != nil, "needs python3 with gguf: see .ci/python"))
    func thePythonPackageReadsWhatIsWritten() throws {
        let path = folder.file("x.gguf")
        try writeAll(path)
        let python = try #require(Self.python)
        let output = try #require(programOutput(python, [Fixtures.path("gguf/summary.py").string, path.string]))
        let summary = try JSONDocument.parse(Array(output.utf8))
        let tensors = try #require(summary["tensors"]?.array)
        for (found, tensor) in zip(tensors, try Self.tensors()) {
            #expect(found["name"]?.string == tensor.descriptor.name.text)
            #expect(found["dtype"]?.string == tensor.descriptor.layout.name)
            #expect(found["shape"]?.array?.compactMap(\.int) == tensor.descriptor.shape.dims)
            let digest = tensor.bytes.withUnsafeBytes { TensorDigest(of: $0).hexadecimal }
            #expect(found["sha256"]?.string == digest, "\(tensor.descriptor.name)")
        }
        #expect(tensors.count == (try Self.tensors().count))
        let metadata = try #require(summary["metadata"]?.object)
        #expect(metadata.map(\.key) == Self.metadata.entries.map(\.key))
        for member in metadata {
            let value = try #require(Self.metadata[member.key])
            #expect(member.value["type"]?.string == "\(value.kind)".uppercased())
            switch value {
            case .array(let array): #expect(member.value["value"]?.array?.count == array.count)
            case .float32(let number): #expect(member.value["value"]?.double == Double(number))
            case .float64(let number): #expect(member.value["value"]?.double == number)
            case .bool(let truth): #expect(member.value["value"]?.bool == truth)
            case .string(let text): #expect(member.value["value"]?.string == text)
            default: #expect(member.value["value"]?.numberText == value.description)
            }
        }
    }
}
