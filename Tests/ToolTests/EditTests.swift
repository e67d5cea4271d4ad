import Foundation
import SystemPackage
import TestSupport
import Testing

/// `edit` through the tool; values are read back by `inspect`, data is compared by checksums.
@Suite struct EditTests {
    private let base = "Fixtures/suites/tiny/base.safetensors"
    private let tool: Tool

    init() throws {
        tool = try Tool()
        try FileManager.default.copyItem(atPath: path(base), toPath: path("a.safetensors"))
    }

    private func path(_ name: String) -> String { tool.folder.file(name).string }
    private func inode(_ name: String) throws -> Int {
        try #require(FileManager.default.attributesOfItem(atPath: path(name))[.systemFileNumber] as? Int)
    }
    private func facts(_ name: String) throws -> (metadata: JSONValue, tensors: [String]) {
        let document = try tool.run("inspect", "--json", "--checksum", name).json()
        return (document["metadata"], document["tensors"].items.map { "\($0["name"].string ?? "") \($0["sha256"])" })
    }
    private func litter() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: tool.folder.path.string).sorted()
    }

    @Test func theNextEditLeavesTheDataWhereItIs() throws {
        let before = try facts("a.safetensors").tensors
        let first = try tool.run("edit", "a.safetensors", "--metadata", "license=mit", "--json")
        #expect(first.status == 0)
        #expect(
            try first.json().keys == [
                "output", "in_place", "metadata_set", "metadata_removed", "renamed", "dropped", "bytes",
            ])
        let (number, size) = (try inode("a.safetensors"), try first.json()["bytes"].int)
        let second = try tool.run("edit", "a.safetensors", "--metadata", "note=a=b", "--remove", "license", "--json")
        #expect(try second.json()["in_place"].bool == true)
        #expect(try second.json()["bytes"].int == size)
        #expect(try inode("a.safetensors") == number)
        let after = try facts("a.safetensors")
        #expect(after.metadata["note"].string == "a=b")
        #expect(!after.metadata.keys.contains("license"))
        #expect(after.tensors == before)
        #expect(try tool.run("verify", "a.safetensors").status == 0)
        #expect(try litter() == ["Fixtures", "a.safetensors"])
    }

    @Test func renamesAndDropsTensors() throws {
        let before = try facts("a.safetensors").tensors
        let outcome = try tool.run(
            "edit", "a.safetensors", "--rename", "^blocks=>layers", "--drop", "*.bias", "--drop", "cls_token")
        #expect(outcome.status == 0)
        let expected = before.filter { !$0.contains(".bias ") && !$0.hasPrefix("cls_token ") }
        let renamed = expected.map { $0.hasPrefix("blocks") ? "layers" + $0.dropFirst(6) : $0 }
        #expect(try facts("a.safetensors").tensors == renamed)
        #expect(outcome.output.contains(" renamed, \(before.count - expected.count) dropped; written anew"))
        #expect(try tool.run("verify", "a.safetensors").status == 0)
    }

    /// A link and a hard link share what they name with others, as in the cache of the hub.
    @Test func neverWritesIntoAFileWithOtherNames() throws {
        _ = try tool.run("edit", "a.safetensors", "--metadata", "x=1")
        try FileManager.default.createSymbolicLink(
            atPath: path("link.safetensors"), withDestinationPath: "a.safetensors")
        try FileManager.default.linkItem(atPath: path("a.safetensors"), toPath: path("hard.safetensors"))
        for name in ["link.safetensors", "hard.safetensors"] {
            let outcome = try tool.run("edit", name, "--metadata", "x=2", "--json")
            #expect(try outcome.json()["in_place"].bool == false)
            #expect(try facts(name).metadata["x"].string == "2")
        }
        #expect(try facts("a.safetensors").metadata["x"].string == "1")
    }

    @Test func writesACopy() throws {
        #expect(try tool.run("edit", "a.safetensors", "--metadata", "x=1", "--output", "b.safetensors").status == 0)
        #expect(try facts("b.safetensors").metadata["x"].string == "1")
        #expect(try tool.run("diff", base, "a.safetensors").status == 0)
        let again = try tool.run("edit", "a.safetensors", "--metadata", "x=1", "--output", "b.safetensors", "--json")
        #expect(again.status == 4)
        #expect(try again.error()["code"].string == "io.exists")
    }

    @Test(
        arguments: [
            ([], 2, "edit.nothing"), (["--remove", "nothing"], 3, "edit.no_such_key"),
            (["--drop", "nothing.*"], 3, "edit.no_such_tensor"),
            (["--rename", "blocks.*=>same"], 3, "edit.duplicate_name"),
            (["--rename", "^cls_token$=>__metadata__"], 3, "format.bad_name"), (["--rename", "x"], 2, "usage.rename"),
            (["--metadata", "x"], 2, "usage"),
        ] as [([String], Int32, String)])
    func refusesWhatCannotBe(arguments: [String], status: Int32, code: String) throws {
        let outcome = try tool.run(["edit", "a.safetensors", "--json"] + arguments)
        #expect(outcome.status == status)
        #expect(try outcome.error()["code"].string == code)
        #expect(try tool.run("diff", base, "a.safetensors").status == 0)
    }

    @Test func namesFilesThatAreNotEdited() throws {
        for (file, word) in [
            ("Fixtures/suites/tiny/test_digits.npz", "a NumPy archive"), ("Fixtures/suites/tiny", "no single file"),
        ] {
            let outcome = try tool.run("edit", file, "--metadata", "x=1", "--json")
            #expect(outcome.status == 3)
            #expect(try outcome.error()["code"].string == "edit.format")
            #expect(try outcome.error()["message"].string?.contains(word) == true)
        }
    }

    @Test func thePartsOfACheckpointKeepTheirTensors() throws {
        try FileManager.default.createDirectory(atPath: path("model"), withIntermediateDirectories: false)
        #expect(try tool.run("convert", base, "model/", "--shard-size", "100KB").status == 0)
        let part = try #require(
            FileManager.default.contentsOfDirectory(atPath: path("model")).filter { $0.hasSuffix(".safetensors") }.min()
        )
        let outcome = try tool.run("edit", "model/\(part)", "--rename", "blocks=>layers", "--json")
        #expect(try outcome.error()["code"].string == "edit.shard")
        let copied = try tool.run(
            "edit", "model/\(part)", "--rename", "blocks=>layers", "--output", "model/\(part)", "--force", "--json")
        #expect(try copied.error()["code"].string == "edit.shard")
        #expect(try tool.run("edit", "model/\(part)", "--metadata", "x=1").status == 0)
        #expect(try tool.run("diff", base, "model").status == 0)
    }

    /// As an edit leaves it that is killed before, in the middle of, and after writing the head.
    @Test(arguments: [0, 300, 4000]) func anEditThatWasKilledIsCompleted(writtenByteCount: Int) throws {
        _ = try tool.run("edit", "a.safetensors", "--metadata", "x=1")
        let old = try Data(contentsOf: URL(fileURLWithPath: path("a.safetensors")))
        #expect(try tool.run("edit", "a.safetensors", "--metadata", "x=22").status == 0)
        let new = try Data(contentsOf: URL(fileURLWithPath: path("a.safetensors")))
        #expect(old.count == new.count && old != new)
        let headByteCount = 8 + Int(new[0]) + Int(new[1]) << 8
        let torn = new.prefix(writtenByteCount) + old.dropFirst(writtenByteCount)
        let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path("a.safetensors")))
        try handle.write(contentsOf: torn)
        try handle.close()
        try journal(new.prefix(headByteCount), byteCount: new.count).write(
            to: URL(fileURLWithPath: path(".a.safetensors.edit")))
        #expect(try facts("a.safetensors").metadata["x"].string == "22")
        #expect(try Data(contentsOf: URL(fileURLWithPath: path("a.safetensors"))) == new)
        #expect(try litter() == ["Fixtures", "a.safetensors"])
    }

    /// What lies beside a file under the name of a journal, and is none of it, is left alone by who reads.
    @Test(arguments: [
        Data("untangl1".utf8) + Data(repeating: 0xFF, count: 100), Data("notes of somebody".utf8), Data(),
    ]) func whatIsNoJournalOfTheFileIsLeftAlone(contents: Data) throws {
        let place = URL(fileURLWithPath: path(".a.safetensors.edit"))
        try contents.write(to: place)
        #expect(try tool.run("diff", base, "a.safetensors").status == 0)
        #expect(try Data(contentsOf: place) == contents)
        // The first edit makes room for a longer header, the second one wants the place.
        #expect(try tool.run("edit", "a.safetensors", "--metadata", "x=1").status == 0)
        let second = try tool.run("edit", "a.safetensors", "--metadata", "x=2", "--json")
        #expect(try facts("a.safetensors").metadata["x"].string == "2")
        let isJournal = contents.starts(with: Data("untangl1".utf8))
        #expect(try second.json()["in_place"].bool == isJournal)
        #expect(try litter().contains(".a.safetensors.edit") != isJournal)
        if !isJournal { #expect(try Data(contentsOf: place) == contents) }
    }

    /// A limit of no bytes stands for a disk that cannot be written.
    @Test func whoCannotWriteReadsTheHeadOfTheJournal() throws {
        _ = try tool.run("edit", "a.safetensors", "--metadata", "x=1")
        let old = try Data(contentsOf: URL(fileURLWithPath: path("a.safetensors")))
        #expect(try tool.run("edit", "a.safetensors", "--metadata", "x=22").status == 0)
        let new = try Data(contentsOf: URL(fileURLWithPath: path("a.safetensors")))
        let headByteCount = 8 + Int(new[0]) + Int(new[1]) << 8
        let torn = new.prefix(300) + old.dropFirst(300)
        let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path("a.safetensors")))
        try handle.write(contentsOf: torn)
        try handle.close()
        try journal(new.prefix(headByteCount), byteCount: new.count).write(
            to: URL(fileURLWithPath: path(".a.safetensors.edit")))
        let read = try tool.shell("(trap '' XFSZ; ulimit -f 0; untangle inspect --json a.safetensors) | cat")
        #expect(try read.json()["metadata"]["x"].string == "22", "\(read.errors)")
        #expect(try Data(contentsOf: URL(fileURLWithPath: path("a.safetensors"))) == torn)
        // With room for it the file gets its head.
        #expect(try facts("a.safetensors").metadata["x"].string == "22")
        #expect(try Data(contentsOf: URL(fileURLWithPath: path("a.safetensors"))) == new)
    }

    /// A journal of the file `a.safetensors`.
    private func journal(_ head: Data, byteCount: Int) throws -> Data {
        func little(_ number: UInt64) -> Data { withUnsafeBytes(of: number.littleEndian) { Data($0) } }
        return Data("untangl1".utf8) + little(UInt64(try inode("a.safetensors"))) + little(UInt64(byteCount)) + head
    }

    // MARK: Several at once

    @Test func editsAtTheSameTimeAreAllKept() throws {
        let count = 12
        let commands = (0..<count).map { "untangle edit -q a.safetensors --metadata key\($0)=\($0) & " }
        let outcome = try tool.shell(commands.joined() + "wait")
        #expect(outcome.errors == "")
        let metadata = try facts("a.safetensors").metadata
        for number in 0..<count { #expect(metadata["key\(number)"].string == "\(number)") }
        #expect(try tool.run("verify", "a.safetensors").status == 0)
    }

    /// An edit that waits for another one works on the file that this leaves, also when it is a new one of the name.
    @Test func aFileThatWasReplacedMeanwhileIsOpenedAnew() throws {
        _ = try tool.run("edit", "a.safetensors", "--metadata", "seed=1")
        let drop = ["edit", "a.safetensors", "--drop", "blocks.0.*", "--output", "b.safetensors"]
        #expect(try tool.run(drop).status == 0)
        let outcome = try tool.shell(
            """
            exec 9< a.safetensors; flock 9
            untangle edit -q a.safetensors --metadata who=B 9<&- & edit=$!
            for try in $(seq 200); do grep -q -- "-> FLOCK.* $edit " /proc/locks && break; sleep 0.05; done
            mv b.safetensors a.safetensors; exec 9<&-; wait $edit
            """)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let after = try facts("a.safetensors")
        #expect(after.metadata["who"].string == "B" && after.metadata["seed"].string == "1")
        #expect(!after.tensors.contains { $0.hasPrefix("blocks.0.") })
        #expect(try tool.run("verify", "a.safetensors").status == 0)
    }
}
