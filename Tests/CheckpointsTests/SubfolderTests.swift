import Checkpoints
import Glibc
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// Checkpoints in folders of a folder, as diffusers lays out a pipeline.
@Suite struct SubfolderTests {
    private let folder = TemporaryFolder()

    private func add(_ name: String) throws {
        let parts = FilePath(name).components.dropLast()
        for count in 1...parts.count {
            mkdir(folder.path.appending(parts.prefix(count)).string, 0o755)
        }
        let header = #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#
        _ = try folder.write(safetensorsFile(header, data: [7]), to: name)
    }

    private func makePipeline() throws {
        for name in [
            "pipe/unet/diffusion_pytorch_model.safetensors", "pipe/unet/diffusion_pytorch_model.fp16.safetensors",
            "pipe/vae/model.safetensors", "pipe/scheduler/x/model.safetensors", "pipe/a/b/c/model.safetensors",
            "pipe/.git/model.safetensors",
        ] {
            try add(name)
        }
        _ = try folder.write([0, 1], to: "pipe/vae/model.bin")
    }

    @Test func listsWhatThereIs() throws {
        try makePipeline()
        let error = try #require(throws: FormatError.self) { try CheckpointFormat.open(folder.file("pipe")) }
        #expect(error.category == .unknownFormat)
        #expect(
            error.message
                == "the folder \(folder.file("pipe")) holds no checkpoint itself, but 3 of its sub-folders do (scheduler/x, unet, vae)"
        )
        #expect(error.hint == "choose one with --subfolder scheduler/x, or name its path")
        #expect(error.details?.columns == ["name", "format", "files", "tensors", "bytes"])
        let size = "62"
        #expect(
            error.details?.rows == [
                ["scheduler/x/model.safetensors", "safetensors", "1", "1", size],
                ["unet/diffusion_pytorch_model.fp16.safetensors", "safetensors", "1", "1", size],
                ["unet/diffusion_pytorch_model.safetensors", "safetensors", "1", "1", size],
                ["vae/model.safetensors", "safetensors", "1", "1", size],
            ])
    }

    /// A link that leads back ends the search like a folder that is too deep.
    @Test func aLoopOfLinksIsNoEndlessSearch() throws {
        mkdir(folder.file("loop").string, 0o755)
        symlink(folder.file("loop").string, folder.file("loop/again").string)
        let error = #expect(throws: FormatError.self) { try CheckpointFormat.open(folder.file("loop")) }
        #expect(error?.message.contains("holds no checkpoint") == true)
    }

    private func path(_ text: String, _ subfolder: String?) throws -> FilePath {
        var source = CheckpointSource(text)
        source.subfolder = try subfolder.map { try #require(CheckpointSource.subfolder($0)) }
        return try source.path(in: .init(cache: HubCache(folder.file("hub"))))
    }

    @Test func opensTheOneThatIsNamed() throws {
        try makePipeline()
        let pipe = folder.file("pipe").string
        #expect(try path(pipe, "unet") == folder.file("pipe/unet"))
        #expect(try path(pipe, "scheduler/x") == folder.file("pipe/scheduler/x"))
        #expect(try path(pipe, nil) == folder.file("pipe"))
        // Files have no sub-folders.
        let file = "\(pipe)/vae/model.safetensors"
        #expect(try path(file, "unet").string == file)
        let error = #expect(throws: IOError.self) { try path(pipe, "text") }
        #expect(error?.code == "io.not_found" && error?.message == "\(pipe) has no sub-folder text")
        #expect(error?.hint == "those that hold checkpoints: scheduler/x, unet, vae")
        #expect(throws: IOError.self) { try path(folder.file("nowhere").string, "unet") }
    }

    @Test func findsItInTheHubsCache() throws {
        let commit = String(repeating: "0a", count: 20)
        let model = "hub/models--org--pipe"
        for name in ["hub", "hub/models--org--pipe", "\(model)/refs", "\(model)/snapshots"] {
            mkdir(folder.file(name).string, 0o755)
        }
        _ = try folder.write(Array(commit.utf8), to: "\(model)/refs/main")
        try add("\(model)/snapshots/\(commit)/model_index.safetensors.d/x")
        unlink(folder.file("\(model)/snapshots/\(commit)/model_index.safetensors.d/x").string)
        let missing = #expect(throws: IOError.self) { try path("org/pipe", "unet") }
        #expect(missing?.message == "org/pipe has no sub-folder unet")
        #expect(
            missing?.hint
                == "to download it: hf download org/pipe --revision \(commit) --include 'unet/*' --cache-dir \(folder.file("hub"))"
        )
        try add("\(model)/snapshots/\(commit)/unet/model.safetensors")
        #expect(try path("org/pipe", "unet") == folder.file("\(model)/snapshots/\(commit)/unet"))
        #expect(try TensorStore(opening: path("org/pipe@main", "unet")).descriptors.count == 1)
    }

    @Test(arguments: ["", "/", "/etc", "..", "../x", "a/../../b", ".", "./a", "a\u{0}b"])
    func neverLeadsOutOfTheFolder(_ name: String) { #expect(CheckpointSource.subfolder(name) == nil) }
}
