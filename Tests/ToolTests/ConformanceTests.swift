import Foundation
import SystemPackage
import TestSupport
import Testing

/// The bad files of the conformance set, refused by the tool itself.
@Suite struct ConformanceTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let path: String
        let category: String
        let level: String

        var testDescription: String { path }
        /// Faults of stored data, which `verify` answers with status 1.
        var isDamage: Bool { ["bad_crc", "bad_deflate"].contains(category) }
    }

    /// Read from the expectations beside the files, in the order of their names.
    static func cases(_ format: String) -> [Case] {
        let folder = "conformance/bad/\(folder(format))"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: Fixtures.path(folder).string)) ?? []
        return names.filter { $0.hasSuffix(".expected.json") }.sorted().compactMap { name in
            guard let data = FileManager.default.contents(atPath: Fixtures.path("\(folder)/\(name)").string),
                let fields = try? JSONValue(parsing: String(decoding: data, as: UTF8.self)),
                let title = fields["case"].string, let category = fields["category"].string,
                let level = fields["level"].string
            else { return nil }
            return Case(path: "Fixtures/\(folder)/\(title).\(format)", category: category, level: level)
        }
    }

    @Test(arguments: [("safetensors", 75), ("npy", 42), ("npz", 39), ("gguf", 32), ("pt", 56)])
    func findsEveryCase(format: String, count: Int) {
        #expect(Self.cases(format).count == count)
    }

    /// Where the files with an ending lie.
    private static func folder(_ format: String) -> String { format == "pt" ? "torch" : format }

    /// Files that break two rules, of which a reader may name either.
    static let alsoRight = [
        // The first eight bytes of a web page, taken as a length, exceed the limit.
        "Fixtures/conformance/bad/safetensors/html.safetensors": "header_too_large",
        // A header of 2 GiB is beyond the limit as well as beyond the end of the file.
        "Fixtures/conformance/bad/npy/header_len_big.npy": "header_too_large",
    ]

    @Test(arguments: ["safetensors", "npy", "npz", "gguf", "pt"].flatMap(cases))
    func refusesBadFiles(bad: Case) throws {
        let tool = try Tool()
        let verified = try tool.run("verify", "--json", bad.path)
        let inspected = try tool.run("inspect", "--json", bad.path)
        // Files that one may accept must be accepted or refused in good order.
        if bad.level == "either", verified.status == 0 {
            #expect(try verified.json()["ok"].bool == true)
            #expect(verified.errors == "" || verified.errors.hasPrefix("warning: "))
            #expect(inspected.status == 0)
            return
        }
        if bad.isDamage {
            #expect(verified.status == 1)
            #expect(verified.errors == "")
            let document = try verified.json()
            #expect(document["ok"].bool == false)
            #expect(document["damage"].count == 1)
            #expect(document["damage"][0].keys == ["tensor", "file", "offset", "bytes", "reason"])
            #expect(document["damage"][0]["file"].string == bad.path)
            return
        }
        let codes = ["format.\(bad.category)"] + (Self.alsoRight[bad.path].map { ["format.\($0)"] } ?? [])
        for outcome in [verified, inspected] {
            #expect(outcome.status == 3)
            #expect(outcome.output == "")
            let error = try outcome.error()
            #expect(codes.contains(error["code"].string ?? ""), "\(error)")
            #expect(error.keys == ["code", "message", "file", "tensor", "offset", "hint"])
            #expect(error["file"].string == bad.path)
        }
    }

    @Test(arguments: [
        ("absolute_path", "path_traversal"), ("bad_json", "invalid_json"), ("missing_shard", "missing_shard"),
        ("tensor_not_in_shard", "index_mismatch"), ("weight_map_list", "bad_index"), ("wrong_shard", "index_mismatch"),
    ])
    func refusesBadIndices(name: String, category: String) throws {
        let tool = try Tool()
        let folder = "Fixtures/conformance/bad/index/\(name)"
        for path in [folder, "\(folder)/model.safetensors.index.json"] {
            for command in ["verify", "inspect"] {
                let outcome = try tool.run(command, path, "--json")
                #expect(outcome.status == 3)
                #expect(try outcome.error()["code"].string == "format.\(category)")
            }
        }
    }

    /// Files that other libraries wrote: the expectation has what those libraries read, with the SHA-256 of every tensor.
    @Test(arguments: ["safetensors", "npy", "npz", "index", "pt", "gguf"])
    func readsGoodFiles(format: String) throws {
        let tool = try Tool()
        let folder = "Fixtures/conformance/good/\(Self.folder(format))"
        let names = try FileManager.default.contentsOfDirectory(atPath: tool.folder.file(folder).string)
            .filter { $0.hasSuffix(".expected.json") }.sorted()
        #expect(!names.isEmpty)
        for name in names {
            let text = try String(contentsOfFile: tool.folder.file("\(folder)/\(name)").string, encoding: .utf8)
            let expected = try JSONValue(parsing: text)
            let title = try #require(expected["case"].string)
            let path = format == "index" ? "\(folder)/\(title)" : "\(folder)/\(title).\(format)"
            // Types whose name NumPy loses have to be named.
            let hint = expected["tensors"][0]["as_dtype_hint"].string
            let naming = hint.map { ["--npy-void", $0.lowercased()] } ?? []
            let outcome = try tool.run(["inspect", "--json", "--checksum", path] + naming)
            // What one may refuse is refused in good order.
            let mayRefuse = expected["level"].string == "either"
            #expect(outcome.status == 0 || mayRefuse && outcome.status == 3, "\(path): \(outcome.errors)")
            guard outcome.status == 0 else { continue }
            func facts(_ tensors: JSONValue, bytes: String) -> [String] {
                tensors.items.map { tensor in
                    let dtype = hint ?? tensor["dtype"].string ?? ""
                    return "\(tensor["name"]) \(dtype) \(tensor["shape"]) \(tensor[bytes]) \(tensor["sha256"])"
                }.sorted()
            }
            let document = try outcome.json()
            #expect(
                facts(document["tensors"], bytes: "bytes") == facts(expected["tensors"], bytes: "nbytes"), "\(path)")
            for key in expected["metadata"].keys {
                #expect(document["metadata"][key].string == expected["metadata"][key].string, "\(path)")
            }
            #expect(try tool.run(["verify", path] + naming).status == 0, "\(path)")
        }
    }

    @Test func printsAtMostThreeLinesForPeople() throws {
        let tool = try Tool()
        for bad in Self.cases("safetensors") where bad.level == "must" {
            let outcome = try tool.run("inspect", bad.path)
            let lines = outcome.errors.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
            #expect((1...3).contains(lines.count), "\(outcome.errors)")
            #expect(outcome.errors.hasPrefix("error: "))
            #expect(outcome.errors.contains("   [format."))
        }
    }
}
