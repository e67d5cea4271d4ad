import Checkpoints
import Glibc
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// Models in the cache of the Hugging Face hub. What huggingface_hub 2.4 says of the same cases is the right answer.
@Suite struct HubCacheTests {
    private let folder = TemporaryFolder()
    private let commit = String(repeating: "0123456789abcdef0123", count: 2)
    private let other = String(repeating: "fedcba9876543210fedc", count: 2)

    /// Where `huggingface_hub.constants.HF_HUB_CACHE` is, with `HOME=/home/u`.
    @Test(
        arguments: [
            ([:], "/home/u/.cache/huggingface/hub"),
            (["XDG_CACHE_HOME": "/x"], "/x/huggingface/hub"),
            (["HF_HOME": "/h", "XDG_CACHE_HOME": "/x"], "/h/hub"),
            (["HUGGINGFACE_HUB_CACHE": "/old", "HF_HOME": "/h"], "/old"),
            (["HF_HUB_CACHE": "/new", "HUGGINGFACE_HUB_CACHE": "/old", "HF_HOME": "/h"], "/new"),
            (["HF_HOME": "~/models"], "/home/u/models/hub"),
            (["HF_HOME": "~"], "/home/u/hub"),
            (["HF_HUB_CACHE": "~nobody-of-that-name/c"], "~nobody-of-that-name/c"),
            (["HF_HOME": "$D/h", "D": "/data"], "/data/h/hub"),
            (["HF_HOME": "${D}x/h", "D": "/data"], "/datax/h/hub"),
            (["HF_HUB_CACHE": "$GONE/c"], "$GONE/c"),
            (["HF_HUB_CACHE": "a/${GONE}/$"], "a/${GONE}/$"),
            (["XDG_CACHE_HOME": "$D", "D": "/data"], "/data/huggingface/hub"),
            (["XDG_CACHE_HOME": "/x/"], "/x/huggingface/hub"),
            (["HUGGINGFACE_HUB_CACHE": "~/o"], "/home/u/o"),
            (["HF_HOME": ""], "hub"),
            (["XDG_CACHE_HOME": ""], "huggingface/hub"),
            (["HF_HUB_CACHE": "rel/cache"], "rel/cache"),
            (["HF_HUB_CACHE": "/a/$D/b", "D": "~"], "/a/~/b"),
            (["HOME": "/", "HF_HOME": "~/m"], "/m/hub"),
            (["HOME": "/"], "/.cache/huggingface/hub"),
        ] as [([String: String], String)])
    func liesWhereTheEnvironmentSays(environment: [String: String], place: String) {
        #expect(HubCache { environment[$0] ?? ($0 == "HOME" ? "/home/u" : nil) }.folder.string == place)
    }

    /// Another user's home is where the system says.
    @Test func theHomeOfAnotherUserCounts() throws {
        let home = try #require(getpwnam("daemon")?.pointee.pw_dir)
        #expect(HubCache { $0 == "HF_HUB_CACHE" ? "~daemon/c" : nil }.folder.string == "\(String(cString: home))/c")
    }

    /// As `validate_repo_id` of huggingface_hub.
    @Test func namesLeadNowhereElse() {
        let right = [
            "gpt2", "org/name", "Org-1/na.me_2", "_a", "a/_b_", String(repeating: "a", count: 96),
            "o/" + String(repeating: "a", count: 96),
        ]
        let wrong = [
            "", "..", "../x", "a/../b", "/etc", "a//b", "a/b/c", "-a", "a-", ".a", "a.", "a--b", "a..b", "a.git",
            "a/b.git",
            "a b", "é", "a@b", "a/", "models--x", String(repeating: "a", count: 97),
        ]
        for name in right { #expect(HubName(name)?.description == name) }
        for name in wrong { #expect(HubName(name) == nil, "\(name)") }
        #expect(HubName(folderName: "models--org--name")?.description == "org/name")
        #expect(HubName(folderName: "models--gpt2")?.description == "gpt2")
        #expect(HubName(folderName: "datasets--org--name") == nil)
    }

    // MARK: - Snapshots

    /// A cache as huggingface_hub lays it out: contents in `blobs`, names in `snapshots` as links.
    private func makeCache() throws {
        func makeFolders(_ path: String) {
            var made = folder.path
            for component in FilePath(path).components {
                made.append(component)
                mkdir(made.string, 0o755)
            }
        }
        let model = "hub/models--org--name"
        for path in ["blobs", "refs/refs/pr", "snapshots/\(commit)", "snapshots/\(other)"] {
            makeFolders("\(model)/\(path)")
        }
        makeFolders("hub/models--gpt2/refs")
        makeFolders("hub/models--gpt2/snapshots/\(commit)")
        makeFolders("hub/models--org--half/refs")
        makeFolders("secret/snapshots")
        _ = try folder.write(Array(commit.utf8), to: "\(model)/refs/main")
        _ = try folder.write(Array("\(other)\n".utf8), to: "\(model)/refs/v1.0")
        _ = try folder.write(Array(other.utf8), to: "\(model)/refs/refs/pr/7")
        _ = try folder.write(Array("../../../secret".utf8), to: "\(model)/refs/evil")
        _ = try folder.write(Array(commit.utf8), to: "hub/models--gpt2/refs/main")
        _ = try folder.write(Array(other.utf8), to: "hub/models--org--half/refs/main")
    }

    private var places: CheckpointSource.Places {
        CheckpointSource.Places(cache: HubCache(folder.file("hub")))
    }

    private func snapshot(_ text: String) throws -> String {
        let path = try CheckpointSource(text).path(in: places)
        return HubSnapshot(containing: path)?.commit ?? path.string
    }

    @Test func findsRevisions() throws {
        try makeCache()
        for text in [
            "org/name", "org/name@main", "org/name@\(commit)", "org/name@0123456", "gpt2", "gpt2@main", "org/name@",
        ] {
            #expect(try snapshot(text) == commit, "\(text)")
        }
        for text in ["org/name@v1.0", "org/name@refs/pr/7", "org/name@\(other)"] {
            #expect(try snapshot(text) == other, "\(text)")
        }
        let found = try CheckpointSource("org/name").path(in: places)
        #expect(found == folder.file("hub/models--org--name/snapshots/\(commit)"))
    }

    /// What a revision is, a text says; where it would lead as a path does not matter.
    @Test(arguments: [
        "org/name@evil", "org/name@v2", "org/name@pr/7", "org/half", "org/half@main", "org/none", "none", "none@main",
        "datasets/org",
    ])
    func refuses(_ text: String) throws {
        try makeCache()
        let error = try #require(#expect(throws: IOError.self) { try snapshot(text) })
        #expect(error.code == "io.not_found")
        #expect(error.message.hasPrefix("\(text) is not "), "\(error.message)")
        #expect(error.hint?.contains("hf download") == true)
    }

    /// Whatever the cache has, and also where a folder has the name.
    @Test(arguments: ["../refs/main", "/etc", "..", "refs/../main", "./x"])
    func saysThatAPathIsNoRevision(_ revision: String) throws {
        try makeCache()
        let text = folder.file("mine").string
        mkdir(text, 0o755)
        for name in ["org/name", "org/none", text] {
            let error = #expect(throws: IOError.self) {
                var source = CheckpointSource("\(name)@\(revision)")
                source.subfolder = name == text ? "x" : nil
                return try source.path(in: places)
            }
            #expect(error?.message == "\(name)@\(revision) is not there as a path, and \"\(revision)\" is no revision")
            #expect(error?.hint?.contains("a branch, a tag") == true)
        }
    }

    @Test func saysWhatWouldDownloadIt() throws {
        try makeCache()
        func failure(_ text: String) throws -> IOError {
            try #require(#expect(throws: IOError.self) { try snapshot(text) })
        }
        let hub = folder.file("hub").string
        let gone = try failure("org/none@refs/pr/1")
        #expect(gone.message.hasSuffix("looked for org/none@refs/pr/1, org/none, \(hub)/models--org--none"))
        let start = "nothing is downloaded here; to download it: "
        #expect(gone.hint == "\(start)hf download org/none --revision refs/pr/1 --cache-dir \(hub)")
        #expect(
            try failure("org/half").message.hasSuffix(
                "its main is the commit \(other), of which the cache has no files"))
        #expect(try failure("org/half").hint == "\(start)hf download org/half --cache-dir \(hub)")
        let tag = try failure("org/name@v2")
        let known = "main, v1.0, \(commit), \(other)"
        #expect(tag.message == "org/name@v2 is not in the hub's cache \(hub): it has no v2, but \(known)")
        // The beginning of two commits is neither.
        mkdir(folder.file("hub/models--org--name/snapshots/0123abc").string, 0o755)
        #expect(try failure("org/name@0123").message.hasSuffix("0123 begins 2 of its commits: \(commit), 0123abc"))
    }

    /// Only what is called like a file is taken for one that is not there.
    @Test func pathsGoFirst() throws {
        try makeCache()
        for text in ["none/model.safetensors", "a.npz", "./none", "/none", "a/b/c", "x/model.safetensors.index.json"] {
            #expect(try CheckpointSource(text).path(in: places) == FilePath(text))
        }
        // A folder of that name goes before the cache, whatever the revision.
        let text = folder.file("org").string
        mkdir(text, 0o755)
        for name in [text, "\(text)@v1.0"] { #expect(try CheckpointSource(name).path(in: places).string == text) }
        mkdir("\(text)@v1.0", 0o755)
        #expect(try CheckpointSource("\(text)@v1.0").path(in: places).string == "\(text)@v1.0")
    }

    // MARK: - Unfinished downloads

    private func failure() throws -> any Diagnostic {
        do {
            _ = try CheckpointFormat.open(folder.file("hub/models--org--name/snapshots/\(commit)"))
        } catch { return try #require(error as? any Diagnostic) }
        struct Opened: Error {}
        throw Opened()
    }

    @Test func namesWhatIsMissing() throws {
        try makeCache()
        let model = "hub/models--org--name"
        let fetch =
            "hf download org/name --revision \(commit)"
        let cache = " --cache-dir \(folder.file("hub"))"
        // No weights at all, and the beginning of a download.
        #expect(try failure().hint == "if the model has weights, \(fetch)\(cache) downloads them")
        _ = try folder.write([1, 2, 3], to: "\(model)/blobs/beef.incomplete")
        #expect(try failure().message.hasSuffix("/blobs/beef.incomplete has 3 bytes"))
        // A link to contents that are not there.
        let link = folder.file("\(model)/snapshots/\(commit)/model.safetensors").string
        symlink("../../blobs/beef", link)
        let broken = try failure()
        #expect(broken.code == "io.not_found")
        #expect(broken.message.contains("model.safetensors is a link to ../../blobs/beef, which is not there"))
        #expect(broken.message.contains("beef.incomplete"))
        #expect(
            broken.hint == "the hub's cache is incomplete: \(fetch) --include model.safetensors\(cache)")
        unlink(link)
        // An index with parts of which one is there.
        let part = safetensorsFile(#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, data: [7])
        _ = try folder.write(part, to: "\(model)/blobs/part")
        symlink("../../blobs/part", folder.file("\(model)/snapshots/\(commit)/1.safetensors").string)
        symlink("../../blobs/none", folder.file("\(model)/snapshots/\(commit)/2.safetensors").string)
        let map = #"{"weight_map":{"a":"1.safetensors","b":"2.safetensors","c":"3.safetensors"}}"#
        _ = try folder.write(Array(map.utf8), to: "\(model)/snapshots/\(commit)/model.safetensors.index.json")
        let shards = try failure()
        #expect(shards.code == "format.missing_shard")
        #expect(shards.message.contains("names 2 files that are not there: 2.safetensors, 3.safetensors"))
        #expect(
            shards.hint
                == "the hub's cache is incomplete: \(fetch) --include 2.safetensors --include 3.safetensors\(cache)")
    }
}
