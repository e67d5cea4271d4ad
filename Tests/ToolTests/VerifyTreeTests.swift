import Foundation
import Glibc
import SystemPackage
import Testing

/// `verify --recursive`, in a tree like the cache of the Hugging Face hub.
@Suite struct VerifyTreeTests {
    private let tool: Tool

    init() throws { tool = try Tool() }

    /// A file with one U8 tensor: 8 bytes of length, 53 of header, 1 of data.
    private func add(_ path: String, tensor: String = "a", tail: Int = 0) throws {
        let header = #"{"\#(tensor)":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#
        let length = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Array($0) }
        try makeFolder(of: path)
        _ = try tool.folder.write(length + Array(header.utf8) + [UInt8](repeating: 7, count: 1 + tail), to: path)
    }

    private func addText(_ path: String, _ text: String) throws {
        try makeFolder(of: path)
        _ = try tool.folder.write(Array(text.utf8), to: path)
    }

    private func makeFolder(of path: String) throws {
        let folder = FilePath(path).removingLastComponent().string
        try FileManager.default.createDirectory(
            atPath: tool.folder.file(folder).string, withIntermediateDirectories: true)
    }

    private func link(_ path: String, to target: String) throws {
        try makeFolder(of: path)
        try FileManager.default.createSymbolicLink(
            atPath: tool.folder.file(path).string, withDestinationPath: target)
    }

    @Test func checksEveryCheckpointOnce() throws {
        // Two snapshots share a part; the blobs have no names by which they could be told.
        try add("hub/m/blobs/1", tensor: "a")
        try add("hub/m/blobs/2", tensor: "b")
        try addText(
            "hub/m/blobs/3", #"{"weight_map":{"a":"m-00001-of-00002.safetensors","b":"m-00002-of-00002.safetensors"}}"#)
        for snapshot in ["x", "y"] {
            try link("hub/m/snapshots/\(snapshot)/m-00001-of-00002.safetensors", to: "../../blobs/1")
            try link("hub/m/snapshots/\(snapshot)/m-00002-of-00002.safetensors", to: "../../blobs/2")
            try link("hub/m/snapshots/\(snapshot)/m.safetensors.index.json", to: "../../blobs/3")
        }
        try link("hub/m/again", to: "..")
        try add("hub/.git/hidden.safetensors", tail: 3)
        try add("hub/single.safetensors")
        try addText("hub/config.json", "{}")
        let outcome = try tool.run("verify", "hub", "--recursive")
        #expect(outcome.status == 0)
        #expect(outcome.errors == "")
        #expect(
            outcome.output == """
                hub/single.safetensors: ok, 62 B checked
                hub/m/snapshots/x/m.safetensors.index.json: ok, 124 B checked
                2 checkpoints, 186 B checked: 2 ok, 0 damaged, 0 in error; 4 other files

                """)
    }

    /// As half a download leaves it.
    @Test func aLinkToNothingIsAnError() throws {
        try add("hub/models--o--n/snapshots/abc/a.safetensors")
        try link("hub/models--o--n/snapshots/abc/b.safetensors", to: "../../blobs/2")
        let outcome = try tool.run("verify", "hub", "--recursive")
        #expect(outcome.status == 3)
        #expect(outcome.output.contains("abc/b.safetensors: is a link to") && outcome.output.contains("1 ok"))
    }

    @Test func theStatusIsTheHighest() throws {
        try FileManager.default.createDirectory(atPath: tool.folder.file("t").string, withIntermediateDirectories: true)
        _ = try tool.shell("cp Fixtures/conformance/bad/npz/crc_header.npz t/a.npz")
        try add("t/c.safetensors")
        let damaged = try tool.run("verify", "t", "--recursive")
        #expect(damaged.status == 1)
        #expect(damaged.output.hasPrefix("t/a.npz: 1 place damaged, "))
        #expect(damaged.output.hasSuffix(": 1 ok, 1 damaged, 0 in error; 0 other files\n"))
        try addText("t/b.safetensors", #"{"error":"Entry not found"}"#)
        let wrong = try tool.run("verify", "t", "--recursive")
        #expect(wrong.status == 3)
        #expect(
            wrong.output.contains(
                #"t/b.safetensors: is text, perhaps a server's message: {"error":"Entry not found"} [format.header_too_large]"#
            ))
        let document = try tool.run("verify", "t", "--recursive", "--json").json()
        #expect(document.keys == ["ok", "checkpoints", "other_files"])
        #expect(document["ok"].bool == false)
        #expect(
            document["checkpoints"].items.map(\.["path"].string) == ["t/a.npz", "t/b.safetensors", "t/c.safetensors"])
        #expect(document["checkpoints"][0].keys == ["path", "ok", "checked_bytes", "damage"])
        #expect(document["checkpoints"][1].keys == ["path", "ok", "error"])
        #expect(document["checkpoints"][1]["error"]["code"].string == "format.header_too_large")
        #expect(document["checkpoints"][2]["checked_bytes"].int == 62)
    }

    @Test func aTreeWithoutCheckpointsIsAnError() throws {
        try addText("empty/deep/notes.txt", "nothing")
        let outcome = try tool.run("verify", "empty", "--recursive", "--json")
        #expect(outcome.status == 3)
        #expect(try outcome.error()["code"].string == "format.unknown_format")
        #expect(try tool.run("verify", "missing", "--recursive").status == 3)
        #expect(try tool.run("verify", "empty/deep/notes.txt", "--recursive").status == 2)
    }
}
