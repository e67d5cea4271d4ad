import Checkpoints
import SystemPackage
import TensorCore
import TestSupport
import Testing

@Suite struct CheckpointFormatTests {
    private let folder = TemporaryFolder()
    private let safetensors = safetensorsFile(#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, data: [7])

    @Test func recognisesFormatsByContent() throws {
        let npy = Fixtures.path("conformance/good/npy").listing().first { $0.hasSuffix(".npy") }
        let copy = try folder.write(
            Fixtures.path("conformance/good/npy").appending(try #require(npy)).contents(), to: "misnamed.safetensors")
        #expect(try CheckpointFormat.open(copy).format == .npy)
        for name in ["weights.dat", "weights.bin", "misnamed.gguf", "misnamed.npz", "misnamed.npy", "misnamed.skein"] {
            #expect(try CheckpointFormat.open(folder.write(safetensors, to: name)).format == .safetensors)
        }
        for name in ["hand_minimal.pt", "legacy_views.pt"] {
            let torch = try Fixtures.path("conformance/good/torch").appending(name).contents()
            for name in ["weights.dat", "misnamed.safetensors", "misnamed.npz"] {
                #expect(try CheckpointFormat.open(folder.write(torch, to: name)).format == .torch)
            }
        }
        #expect(try CheckpointFormat.open(Fixtures.path("suites/tiny/aux_mixed.npz")).format == .npz)
    }

    /// What a command writes again in the format of its input.
    @Test(arguments: FormatID.allCases) func writesAgainWhatTensorsAloneMake(_ id: FormatID) throws {
        let output = CheckpointFormat.output(like: id)
        #expect(output == ([.torch, .gguf].contains(id) ? .safetensors : id))
        let tensor = try TensorDescriptor(name: "a", dtype: .f32, shape: [1])
        let writer = try CheckpointFormat.makeWriter(output, at: folder.file("\(id).x"), declaring: [tensor])
        try write([[1, 2, 3, 4]], with: writer)
    }

    @Test(
        arguments: [
            ("x.dat", [0x80, 0x02, 0x8A, 0x0A], "pickle"),
            ("x.h5", [0x89] + Array("HDF\r\n".utf8) + [0x1A, 0x0A], "HDF5"), ("x.dat", [1, 2, 3], "01 02 03"),
            ("x.dat", [], "empty"),
        ] as [(String, [UInt8], String)])
    func saysWhatAnUnknownFileLooksLike(_ name: String, _ bytes: [UInt8], _ word: String) throws {
        let path = try folder.write(bytes, to: name)
        let error = #expect(throws: FormatError.self) { try CheckpointFormat.open(path) }
        #expect(error?.category == .unknownFormat)
        #expect(error?.message.contains(word) == true)
    }

    @Test func aFolderOpensItsModel() throws {
        let nothing = #expect(throws: FormatError.self) { try CheckpointFormat.open(folder.path) }
        #expect(nothing?.category == .unknownFormat)
        _ = try folder.write(safetensors, to: "only.safetensors")
        _ = try folder.write([], to: "config.json")
        #expect(try CheckpointFormat.open(folder.path).path.lastComponent == "only.safetensors")
        _ = try folder.write(safetensors, to: "second.safetensors")
        let several = #expect(throws: FormatError.self) { try CheckpointFormat.open(folder.path) }
        #expect(several?.message.contains("only.safetensors, second.safetensors") == true)
        _ = try folder.write(
            Array(#"{"weight_map":{"a":"only.safetensors"}}"#.utf8), to: "model.safetensors.index.json")
        #expect(try CheckpointFormat.open(folder.path).path.lastComponent == "model.safetensors.index.json")
        _ = try folder.write(safetensors, to: "model.safetensors")
        #expect(try CheckpointFormat.open(folder.path).path.lastComponent == "model.safetensors")
    }

    /// People find out here that their model is in another format.
    @Test func weightsOfOtherFormatsAreNamedWithARemedy() throws {
        func error() -> FormatError? { #expect(throws: FormatError.self) { try CheckpointFormat.open(folder.path) } }
        _ = try folder.write([0], to: "optimizer.pt")
        #expect(error()?.message.hasSuffix(" holds no checkpoint") == true)
        _ = try folder.write([0], to: "model.h5")
        #expect(error()?.message.hasSuffix("no checkpoint that this version reads, but model.h5, an HDF5 file") == true)
        #expect(error()?.category == .unknownFormat)
        _ = try folder.write([0], to: "pytorch_model-00001-of-00002.bin")
        #expect(error()?.category == .missingShard)
    }

    @Test func aMissingFileIsNotFound() {
        let error = #expect(throws: IOError.self) { try CheckpointFormat.open(folder.file("no.safetensors")) }
        #expect(error?.code == "io.not_found")
    }
}
