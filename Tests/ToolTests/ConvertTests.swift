import Foundation
import SystemPackage
import Testing

@Suite struct ConvertTests {
    private let base = "Fixtures/suites/tiny/base.safetensors"

    @Test func roundTripsThroughNumPyBitForBit() throws {
        let tool = try Tool()
        let outcome = try tool.run("convert", base, "base.npz")
        #expect(outcome.status == 0)
        #expect(outcome.errors == "")
        #expect(outcome.output.hasPrefix("base.npz: 30 tensors written as npz, "))
        #expect(try tool.run("diff", base, "base.npz").output == "equal: 30 tensors compared\n")
        #expect(try tool.run("convert", "base.npz", "again.safetensors", "--quiet", "--no-sync").status == 0)
        func digests(_ path: String) throws -> [String] {
            try tool.run("inspect", "--checksum", "--json", path).json()["tensors"].items.map {
                "\($0["name"]) \($0["sha256"])"
            }
            .sorted()
        }
        #expect(try digests("again.safetensors") == digests(base))
    }

    @Test func selectsRenamesAndCasts() throws {
        let tool = try Tool()
        let outcome = try tool.run(
            "convert", base, "part.safetensors", "--only", "blocks.0.norm1.*", "--exclude", "*.bias", "--dtype", "bf16",
            "--rename", "^blocks\\.(\\d+)=>layers.$1", "--rename", "norm1=>ln_1", "--metadata", "format=pt",
            "--metadata",
            "note=a=b", "--json")
        let report = try outcome.json()
        #expect(report.keys == ["output", "format", "files", "tensors", "bytes", "overflows", "underflows", "tied"])
        #expect(report["files"][0].string == "part.safetensors")
        let document = try tool.run("inspect", "part.safetensors", "--json").json()
        #expect(document["tensors"].items.map(\.["name"].string) == ["layers.0.ln_1.weight"])
        #expect(document["tensors"][0]["dtype"].string == "BF16")
        #expect(document["metadata"]["format"].string == "pt")
        #expect(document["metadata"]["note"].string == "a=b")
    }

    @Test func refusesToReplaceAFileUnlessForced() throws {
        let tool = try Tool()
        try FileManager.default.copyItem(
            atPath: tool.folder.file(base).string, toPath: tool.folder.file("a.safetensors").string)
        let refused = try tool.run("convert", base, "a.safetensors", "--json")
        #expect(refused.status == 4)
        #expect(try refused.error()["code"].string == "io.exists")
        #expect(try tool.run("diff", base, "a.safetensors").status == 0)
        // The output is the input.
        #expect(try tool.run("convert", "a.safetensors", "a.safetensors", "--force", "--only", "cls_token").status == 0)
        #expect(try tool.run("inspect", "a.safetensors", "--json").json()["totals"]["tensors"].int == 1)
        let left = try FileManager.default.contentsOfDirectory(atPath: tool.folder.path.string).sorted()
        #expect(left == ["Fixtures", "a.safetensors"])
    }

    /// Made by NumPy: `w` is F32 [2, 3], the other eight members are texts, objects, records and files.
    @Test func membersThatAreNoTensorsLockNothing() throws {
        let tool = try Tool()
        let mixed = "Fixtures/npz/mixed/mixed_stored.npz"
        let all = try tool.run("convert", mixed, "all.safetensors")
        #expect(all.status == 0)
        #expect(all.errors.hasPrefix("warning: 8 members of the archive are no tensors and are passed over: \"name\""))
        #expect(all.output.hasPrefix("all.safetensors: 1 tensor written as safetensors"))
        #expect(try tool.run("convert", mixed, "w.safetensors", "--only", "w").status == 0)
        let refused = try tool.run("convert", mixed, "o.safetensors", "--only", "settings", "--json")
        #expect(refused.status == 3)
        #expect(try refused.error()["code"].string == "format.object_dtype")
        #expect(try tool.run("inspect", mixed, "--histogram", "name", "--json").error()["tensor"].string == "name")
        #expect(try tool.run("convert", "Fixtures/npz/mixed/slash.npz", "slash.npz").status == 0)
        #expect(try tool.run("diff", "Fixtures/npz/mixed/slash.npz", "slash.npz").status == 0)
    }

    /// F32 tensors of 8 and 4 bytes in a file that has five bytes more than them, and in one that has three less.
    @Test func salvagesSafetensors() throws {
        let tool = try Tool()
        let header =
            #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#
        let start = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Array($0) } + Array(header.utf8)
        _ = try tool.folder.write(start + [UInt8](repeating: 0, count: 17), to: "tail.safetensors")
        _ = try tool.folder.write(start + [UInt8](repeating: 0, count: 9), to: "cut.safetensors")
        #expect(
            try tool.run("convert", "tail.safetensors", "o.safetensors", "--json").error()["code"].string
                == "format.trailing_bytes")
        let whole = try tool.run("convert", "tail.safetensors", "whole.safetensors", "--salvage")
        #expect(whole.status == 0)
        #expect(whole.errors == "warning: 5 bytes follow the last tensor, at byte \(start.count + 12)\n")
        #expect(whole.output.hasSuffix("nothing is lost\n"))
        #expect(try tool.run("verify", "whole.safetensors").status == 0)
        let part = try tool.run("convert", "cut.safetensors", "part.safetensors", "--salvage", "--json")
        #expect(part.status == 1)
        #expect(try part.json()["lost"].items.map(\.["tensor"].string) == ["b"])
        #expect(try tool.run("inspect", "part.safetensors", "--json").json()["totals"]["bytes"].int == 8)
        #expect(try tool.run("convert", "cut.safetensors", "a.safetensors", "--salvage", "--only", "a").status == 0)
    }

    @Test func namesTheTypesOfRawElementsOneByOne() throws {
        let tool = try Tool()
        let void = "Fixtures/npz/mixed/void.npz"
        func types(_ options: String...) throws -> [String?] {
            try tool.run(["inspect", void, "--json"] + options).json()["tensors"].items.map(\.["dtype"].string)
        }
        #expect(try types("--npy-void", "V1=F8_E4M3", "--npy-void", "v2=bf16") == ["F32", "BF16", "F8_E4M3"])
        #expect(try types("--npy-void", "f16", "--npy-void", "F8_E5M2") == ["F32", "F16", "F8_E5M2"])
        #expect(try types("--only", "w") == ["F32"])
        #expect(try tool.run("inspect", void, "--npy-void", "BF16").status == 3)
        let twice = try tool.run("inspect", void, "--npy-void", "BF16", "--npy-void", "V2=F16")
        #expect(twice.status == 2)
        #expect(twice.errors.contains("--npy-void says that V2 is BF16, and that it is F16"))
        for wrong in ["V1=BF16", "V3=BF16", "V1", "F32", "V2=", "=BF16"] {
            #expect(try tool.run("inspect", void, "--npy-void", wrong).status == 2, "\(wrong)")
        }
    }

    @Test func warnsAboutWhatIsLost() throws {
        let tool = try Tool()
        // F32 [4]: 1e30, -1e30, 1, 1e-30.
        let header = #"{"big":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#
        var bytes = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian, Array.init) + Array(header.utf8)
        for value: Float in [1e30, -1e30, 1, 1e-30] {
            bytes += withUnsafeBytes(of: value.bitPattern.littleEndian, Array.init)
        }
        _ = try tool.folder.write(bytes, to: "big.safetensors")
        let outcome = try tool.run("convert", "big.safetensors", "small.safetensors", "--dtype", "F16", "--json")
        #expect(outcome.status == 0)
        #expect(
            outcome.errors == """
                warning: 2 finite values of tensor "big" became infinite as F16
                warning: 1 value of tensor "big" became zero as F16

                """)
        let overflow = try outcome.json()["overflows"][0]
        #expect(overflow["tensor"].string == "big" && overflow["count"].int == 2 && overflow["dtype"].string == "F16")
        let underflow = try outcome.json()["underflows"][0]
        #expect(underflow["tensor"].string == "big" && underflow["count"].int == 1)
        let eight = try tool.run("convert", "big.safetensors", "eight.safetensors", "--dtype", "float8_e4m3fn")
        #expect(
            eight.errors == """
                warning: 2 values of tensor "big" became NaN as F8_E4M3, which has no infinity
                warning: 1 value of tensor "big" became zero as F8_E4M3

                """)
        let stats = try tool.run("inspect", "small.safetensors", "--stats", "--json").json()["tensors"][0]["stats"]
        #expect(stats["inf"].int == 2 && stats["max"].double == 1)
    }

    @Test func writesFoldersAndShards() throws {
        let tool = try Tool()
        #expect(try tool.run("convert", base, "model/").output.hasPrefix("model/model.safetensors: 30 tensors"))
        #expect(try tool.run("diff", base, "model").status == 0)
        let outcome = try tool.run("convert", base, "sharded/", "--shard-size", "100KiB")
        #expect(outcome.status == 0)
        #expect(
            outcome.output.hasPrefix("sharded/model.safetensors.index.json: 30 tensors written as safetensors, "))
        #expect(outcome.output.hasSuffix(" in 3 shards\n"))
        let files = try tool.run("inspect", "sharded", "--json").json()["files"].items.compactMap(\.string)
        #expect(files.count > 3)
        #expect(try tool.run("diff", base, "sharded").status == 0)
        #expect(try tool.run("verify", "sharded", "--json").json()["ok"].bool == true)
    }

    /// With what it says of types as the output has them.
    @Test func aFolderGetsTheConfiguration() throws {
        let tool = try Tool()
        _ = try tool.shell("mkdir m && cp \(base) m/model.safetensors")
        let text = #"{"model_type": "x", "torch_dtype": "float32"}"#
        _ = try tool.folder.write(Array(text.utf8), to: "m/config.json")
        #expect(try tool.run("convert", "m", "same/").status == 0)
        #expect(try tool.shell("cat same/config.json").output == text)
        #expect(try tool.run("convert", "m", "half/", "--dtype", "F16", "--shard-size", "100KiB").status == 0)
        #expect(
            try tool.shell("cat half/config.json").output == text.replacing("float32", with: "float16"))
        // Another model's stays.
        _ = try tool.shell("mkdir other && echo '{}' > other/config.json")
        let outcome = try tool.run("convert", "m", "other/", "--json")
        #expect(outcome.status == 4)
        #expect(try outcome.error()["file"].string == "other/config.json")
        #expect(try tool.names(in: "other") == ["config.json"])
        #expect(try tool.run("convert", "m", "m/", "--force").status == 0)
    }

    /// For files as for folders; nothing is made for what cannot be done.
    @Test func makesTheFoldersOfItsOutput() throws {
        let tool = try Tool()
        #expect(try tool.run("convert", base, "x/y/a.npz", "--only", "none").status == 3)
        #expect(try tool.names(in: ".") == ["Fixtures"])
        #expect(try tool.run("convert", base, "x/y/a.npz").status == 0)
        #expect(try tool.run("merge", "--method", "average", base, "--output", "z/m.safetensors").status == 0)
        #expect(try tool.run("vectors", "--base", base, base, "--report", "v/r.html").status == 0)
        #expect(try tool.names(in: ".") == ["Fixtures", "v", "x", "z"])
        // A file is in the way.
        let outcome = try tool.run("convert", base, "x/y/a.npz/b.npz", "--json")
        #expect(try outcome.error()["code"].string == "io.exists")
    }

    /// Shards of the checkpoint that was replaced go with it, and nothing else does.
    @Test func leavesNoShardsOfTheOldCheckpoint() throws {
        let tool = try Tool()
        #expect(try tool.run("convert", base, "model/", "--shard-size", "60KiB").status == 0)
        let many = try FileManager.default.contentsOfDirectory(atPath: tool.folder.file("model").string)
        #expect(many.count > 5)
        #expect(try tool.shell("touch model/model-00001-of-00099.safetensors").status == 0)
        // Not forced, it changes nothing.
        #expect(try tool.run("convert", base, "model/", "--shard-size", "150KiB").status == 4)
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: tool.folder.file("model").string).count == many.count
                + 1)
        // The input is the old checkpoint.
        #expect(try tool.run("convert", "model", "model/", "--shard-size", "150KiB", "--force").status == 0)
        let left = try FileManager.default.contentsOfDirectory(atPath: tool.folder.file("model").string).sorted()
        #expect(
            left == [
                "config.json", "model-00001-of-00002.safetensors", "model-00001-of-00099.safetensors",
                "model-00002-of-00002.safetensors", "model.safetensors.index.json",
            ])
        #expect(try tool.run("diff", base, "model").status == 0)
    }

    @Test func helpIsShortAboutTypes() throws {
        let help = try Tool().run("convert", "--help").output
        #expect(help.contains("(values: F16,"))
        #expect(!help.contains("F8_E4M3FNUZ"))
        let refused = try Tool().run("convert", base, "x.npz", "--dtype", "float")
        #expect(refused.status == 2)
        for name in ["F16", "F8_E4M3", "F8_E5M2", "Q8_0"] { #expect(refused.errors.contains("- \(name)"), "\(name)") }
    }

    @Test(arguments: [
        (["x.unknown"], "usage.output_format"), (["x.npz", "--shard-size", "1M"], "usage.shard_size"),
        (["x.npz", "--dtype", "i32"], "usage.dtype"), (["x.npz", "--rename", "a"], "usage.rename"),
        (["x.npz", "--metadata", "a"], "usage"), (["x.npz", "--only", "none"], "convert.nothing_selected"),
        (["x.npz", "--rename", ".*=>same"], "convert.duplicate_name"), (["x.npy"], "format.tensor_count"),
        (["/proc/no/folder/x.npz"], "io.not_found"),
    ])
    func saysWhatIsWrong(arguments: [String], code: String) throws {
        let tool = try Tool()
        let outcome = try tool.run(["convert", base] + arguments + ["--json"])
        #expect(try outcome.error()["code"].string == code)
        #expect(outcome.status == (code.hasPrefix("usage") ? 2 : 3))
        #expect(try FileManager.default.contentsOfDirectory(atPath: tool.folder.path.string) == ["Fixtures"])
    }
}
