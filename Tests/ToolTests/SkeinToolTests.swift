import Checkpoints
import Foundation
import SystemPackage
import Testing

/// The native format as its users meet it.
@Suite struct SkeinToolTests {
    private let base = "Fixtures/suites/tiny/base.safetensors"
    private let expert = "Fixtures/suites/tiny/expert_digits.safetensors"

    private func byteCount(_ tool: Tool, _ name: String) throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: tool.folder.file(name).string)
        return try #require(attributes[.size] as? Int)
    }

    private func damage(_ tool: Tool, _ name: String, at offset: Int, to copy: String) throws {
        var bytes = try Data(contentsOf: URL(fileURLWithPath: tool.folder.file(name).string))
        bytes[offset] ^= 0x10
        try bytes.write(to: URL(fileURLWithPath: tool.folder.file(copy).string))
    }

    @Test func roundTripsBitForBit() throws {
        let tool = try Tool()
        let outcome = try tool.run("convert", base, "base.skein")
        #expect(outcome.status == 0)
        #expect(outcome.errors == "")
        #expect(outcome.output.hasPrefix("base.skein: 30 tensors written as skein, "))
        #expect(try tool.run("diff", base, "base.skein").status == 0)
        #expect(try tool.run("verify", "base.skein", "--deep").status == 0)
        #expect(try tool.run("convert", "base.skein", "again.safetensors").status == 0)
        #expect(try tool.run("diff", base, "again.safetensors").output == "equal: 30 tensors compared\n")
        #expect(try tool.run("inspect", "base.skein", "--json").json()["format"].string == "skein")
        #expect(try byteCount(tool, "base.skein") < byteCount(tool, "again.safetensors"))
    }

    @Test func bytesDoNotDependOnThreads() throws {
        let tool = try Tool()
        for (name, options) in [("plain", []), ("delta", ["--base", base]), ("small", ["--chunk-size", "128KiB"])] {
            let files = try ["1", "2", "5"].map { threads in
                let output = "\(name)-\(threads).skein"
                let outcome = try tool.run(["convert", expert, output, "--threads", threads] + options)
                #expect(outcome.status == 0)
                return try Data(contentsOf: URL(fileURLWithPath: tool.folder.file(output).string))
            }
            #expect(Set(files).count == 1)
        }
    }

    @Test func storesAFineTuneAgainstItsBase() throws {
        let tool = try Tool()
        #expect(try tool.run("convert", base, "base.safetensors").status == 0)
        #expect(try tool.run("convert", expert, "alone.skein").status == 0)
        #expect(try tool.run("convert", expert, "tuned.skein", "--base", "base.safetensors").status == 0)
        #expect(try byteCount(tool, "tuned.skein") < byteCount(tool, "alone.skein"))
        // The base is found beside the file, or named, and told from another.
        #expect(try tool.run("diff", expert, "tuned.skein").status == 0)
        #expect(try tool.run("convert", "tuned.skein", "a.safetensors").status == 0)
        try FileManager.default.removeItem(atPath: tool.folder.file("base.safetensors").string)
        let missing = try tool.run("convert", "tuned.skein", "b.safetensors", "--json")
        #expect(missing.status == 3)
        #expect(try missing.error()["code"].string == "format.missing_base")
        // What cannot be worked out is not damaged, and its description is all there.
        #expect(
            try tool.run("verify", "tuned.skein", "--deep", "--json").error()["code"].string == "format.missing_base")
        let described = try tool.run("inspect", "tuned.skein", "--json").json()
        #expect(described["base"]["name"].string == "base.safetensors")
        let identity = try #require(described["base"]["identity"].string)
        #expect(try missing.error()["message"].string?.contains(identity) == true)
        let needing = try #require(described["base"]["tensors"].int)
        #expect(needing > 0)
        #expect(
            try tool.run("inspect", "tuned.skein").output.contains(
                "  \(needing) of 30 tensors are differences to \"base.safetensors\", identity \(identity)\n"))
        #expect(try tool.run("inspect", "alone.skein", "--json").json()["base"].string == nil)
        #expect(try tool.run("convert", "tuned.skein", "b.safetensors", "--base", base).status == 0)
        #expect(try tool.run("diff", expert, "b.safetensors").status == 0)
        let wrong = try tool.run("convert", "tuned.skein", "c.safetensors", "--base", expert, "--json")
        #expect(wrong.status == 3)
        #expect(try wrong.error()["code"].string == "format.wrong_base")
        #expect(try tool.run("verify", "tuned.skein").status == 0)
        #expect(try tool.run("verify", "tuned.skein", "--deep", "--base", base).status == 0)
    }

    /// With `--store` the base is that of the input, and the output needs none.
    @Test func aDifferenceCanBeStoredAsItIs() throws {
        let tool = try Tool()
        #expect(try tool.shell("mkdir away").status == 0)
        #expect(try tool.run("convert", expert, "away/tuned.skein", "--base", base).status == 0)
        #expect(try tool.run("convert", "away/tuned.skein", "own.skein", "--store").status == 3)
        #expect(try tool.run("convert", "away/tuned.skein", "own.skein", "--store", "--base", base).status == 0)
        #expect(try tool.run("diff", expert, "own.skein").status == 0)
        #expect(try tool.run("verify", "own.skein", "--deep").status == 0)
        #expect(try tool.run("convert", "own.skein", "x.skein", "--store", "--base", base).status == 2)
        #expect(try tool.run("convert", base, "x.skein", "--store", "--base", base).status == 2)
    }

    /// Merges write this format like any other, and read experts that are stored against their base.
    @Test func mergesReadAndWriteIt() throws {
        let tool = try Tool()
        #expect(try tool.run("convert", base, "base.safetensors").status == 0)
        #expect(try tool.run("convert", expert, "expert.skein", "--base", "base.safetensors").status == 0)
        func merge(_ expert: String, _ output: String, _ threads: String) throws {
            let outcome = try tool.run(
                "merge", "--method", "task_arithmetic", "--base", base, expert, "--output", output, "--threads", threads
            )
            #expect(outcome.status == 0)
        }
        try merge(expert, "a.safetensors", "1")
        try merge("expert.skein", "a.skein", "1")
        try merge("expert.skein", "b.skein", "3")
        #expect(try tool.run("diff", "a.safetensors", "a.skein").status == 0)
        func bytes(_ name: String) throws -> Data {
            try Data(contentsOf: URL(fileURLWithPath: tool.folder.file(name).string))
        }
        #expect(try bytes("a.skein") == bytes("b.skein"))
    }

    @Test func oneTensorIsReadThoughOthersAreDamaged() throws {
        let tool = try Tool()
        #expect(try tool.run("convert", base, "base.skein").status == 0)
        // In the middle of the file lies a chunk.
        try damage(tool, "base.skein", at: try byteCount(tool, "base.skein") / 2, to: "damaged.skein")
        let verified = try tool.run("verify", "damaged.skein", "--json")
        #expect(verified.status == 1)
        let report = try verified.json()
        #expect(report["damage"].items.count == 1)
        let tensor = try #require(report["damage"][0]["tensor"].string)
        #expect(try tool.run("convert", "damaged.skein", "x.safetensors").status == 3)
        #expect(try tool.run("convert", "damaged.skein", "rest.safetensors", "--exclude", tensor).status == 0)
        #expect(try tool.run("convert", "damaged.skein", "one.safetensors", "--only", "cls_token").status == 0)
    }

    @Test func salvagesWhatIsHealthy() throws {
        let tool = try Tool()
        #expect(try tool.run("convert", base, "base.skein").status == 0)
        try damage(tool, "base.skein", at: try byteCount(tool, "base.skein") / 2, to: "damaged.skein")
        let outcome = try tool.run("convert", "damaged.skein", "saved.safetensors", "--salvage", "--json")
        #expect(outcome.status == 1)
        let report = try outcome.json()
        #expect(report["tensors"].int == 29)
        let tensor = try #require(report["lost"][0]["tensor"].string)
        #expect(try tool.run("convert", base, "rest.safetensors", "--exclude", tensor).status == 0)
        #expect(try tool.run("diff", "saved.safetensors", "rest.safetensors").status == 0)

        // A download that stopped half way.
        let bytes = try Data(contentsOf: URL(fileURLWithPath: tool.folder.file("base.skein").string))
        try bytes.prefix(bytes.count / 2).write(to: URL(fileURLWithPath: tool.folder.file("cut.skein").string))
        let refused = try tool.run("convert", "cut.skein", "x.safetensors", "--json")
        #expect(refused.status == 3)
        #expect(try refused.error()["code"].string == "format.truncated")
        let cut = try tool.run("convert", "cut.skein", "cut.safetensors", "--salvage")
        #expect(cut.status == 1)
        #expect(cut.output.contains("tensors are lost"))
        #expect(try tool.run("verify", "cut.safetensors").status == 0)

        let healthy = try tool.run("convert", "base.skein", "all.safetensors", "--salvage")
        #expect(healthy.status == 0)
        #expect(healthy.output.hasSuffix("nothing is lost\n"))
    }

    /// Damage between the chunks and in a second copy costs no tensor: all are written, and it is only warned of, once.
    @Test func salvagesInSpiteOfDamageThatCostsNothing() throws {
        let tool = try Tool()
        #expect(try tool.run("convert", base, "base.skein").status == 0)
        let reader = try SkeinReader(opening: tool.folder.file("base.skein"))
        let ends = reader.descriptors.indices.map { reader.location(of: $0).range.upperBound }
        let padding = try #require(ends.first { $0 % 64 != 0 })
        for (offset, text) in [(padding, "padding"), (try byteCount(tool, "base.skein") - 20, "footer")] {
            try damage(tool, "base.skein", at: offset, to: "damaged.skein")
            let outcome = try tool.run("convert", "damaged.skein", "all.safetensors", "--salvage", "--force", "--quiet")
            #expect(outcome.status == 0)
            #expect(outcome.output.hasSuffix("nothing is lost\n"))
            #expect(outcome.errors.split(separator: "\n").count == 1)
            #expect(outcome.errors.contains(text))
            #expect(try tool.run("diff", base, "all.safetensors").status == 0)
            #expect(try tool.run("verify", "damaged.skein").status == 1)
        }
    }

    @Test func optionsThatMakeNoSenseAreRefused() throws {
        let tool = try Tool()
        for arguments in [
            [base, "a.npz", "--store"], [base, "a.safetensors", "--level", "max"], [base, "a.npz", "--base", base],
            [base, "a.skein", "--store", "--level", "max"], [base, "a.skein", "--chunk-size", "100000"],
            [base, "a.skein", "--level", "11"],
        ] {
            #expect(try tool.run(["convert"] + arguments).status == 2)
        }
        #expect(try tool.run("convert", base, "a.skein", "--base", "nowhere.skein").status == 3)
    }

    /// Of an empty tensor nothing is decoded; the digest is that of no bytes.
    @Test func readsAFileOfEmptyTensors() throws {
        let tool = try Tool()
        let header = #"{"none":{"dtype":"BF16","shape":[0,7],"data_offsets":[0,0]}}"#
        let bytes = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian, Array.init) + Array(header.utf8)
        _ = try tool.folder.write(bytes, to: "empty.safetensors")
        for options in [[], ["--store"]] {
            let written = try tool.run(["convert", "empty.safetensors", "empty.skein", "--force"] + options)
            #expect(written.status == 0, "\(written.errors)")
            let outcome = try tool.run("inspect", "empty.skein", "--stats", "--checksum", "--json")
            #expect(outcome.status == 0, "\(outcome.errors)")
            let digest = try outcome.json()["tensors"][0]["sha256"].string
            #expect(digest == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
            #expect(try tool.run("diff", "empty.skein", "empty.safetensors").status == 0)
            #expect(try tool.run("verify", "empty.skein", "--deep").status == 0)
            #expect(try tool.run("inspect", "empty.skein", "--histogram", "none").status == 2)
        }
    }

    @Test func storedTensorsAreMappable() throws {
        let tool = try Tool()
        #expect(try tool.run("convert", base, "stored.skein", "--store").status == 0)
        #expect(try tool.run("diff", base, "stored.skein").status == 0)
        #expect(try byteCount(tool, "stored.skein") < byteCount(tool, base) * 101 / 100 + 8192)
    }

    @Test func neverReplacesItsOwnBase() throws {
        let tool = try Tool()
        let suite = "Fixtures/suites/tiny"
        #expect(try tool.run("convert", "\(suite)/base.safetensors", "base.skein").status == 0)
        let outcome = try tool.run(
            "convert", "\(suite)/expert_digits.safetensors", "./base.skein", "--base", "base.skein", "--force", "--json"
        )
        #expect(outcome.status == 3)
        #expect(try outcome.error()["code"].string == "format.wrong_base")
        #expect(try tool.run("diff", "\(suite)/base.safetensors", "base.skein").status == 0)
    }

    @Test func neverTakesItselfForItsBase() throws {
        let tool = try Tool()
        let suite = "Fixtures/suites/tiny"
        #expect(try tool.shell("mkdir sub").status == 0)
        #expect(try tool.run("convert", "\(suite)/base.safetensors", "model.skein").status == 0)
        let written = try tool.run(
            "convert", "\(suite)/expert_digits.safetensors", "sub/model.skein", "--base", "model.skein")
        #expect(written.status == 0)
        let outcome = try tool.run("inspect", "sub/model.skein", "--stats", "--json")
        #expect(try outcome.error()["code"].string == "format.missing_base")
    }
}
