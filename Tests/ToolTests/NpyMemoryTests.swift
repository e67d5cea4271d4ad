import Foundation
import Glibc
import SystemPackage
import Testing

/// Arrays that are larger than the memory: in an order that is not ours they are read in windows, and compressed ones refused.
@Suite struct NpyMemoryTests {
    private let tool: Tool

    /// Half a GiB of zeros, which take no room in a file.
    private static let byteCount = 1 << 29
    /// 4,000,000 bytes in a deflated member.
    private static let deflated = "Fixtures/conformance/bad/npz/bomb_1000x.npz"

    init() throws {
        tool = try Tool()
        for (name, descr, order) in [("fortran.npy", "<f4", "True"), ("big.npy", ">f4", "False")] {
            let text = "{'descr': '\(descr)', 'fortran_order': \(order), 'shape': (8192, 16384), }\n"
            let header: [UInt8] = [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(text.utf8.count), 0] + Array(text.utf8)
            let path = try tool.folder.write(header, to: name)
            guard truncate(path.string, header.count + Self.byteCount) == 0 else { throw Errno(rawValue: errno) }
        }
    }

    /// The limit is on what a process allocates, far above what the program takes without data and below one tensor.
    @Test(arguments: [
        "inspect fortran.npy --stats --checksum", "inspect big.npy --stats", "inspect fortran.npy --histogram arr",
        "convert fortran.npy out.safetensors --no-sync", "convert fortran.npy out.safetensors --no-sync --dtype bf16",
        "diff fortran.npy big.npy", "verify fortran.npy",
    ]) func isReadInWindows(_ command: String) throws {
        let outcome = try tool.shell("ulimit -d 320000; untangle \(command) --memory 32MiB --threads 2 --quiet")
        #expect(outcome.status == 0, "\(outcome.errors)")
    }

    /// Of numpy: sha256(bytes(1 << 29)).
    @Test func windowsAddUp() throws {
        let outcome = try tool.run("inspect", "fortran.npy", "--checksum", "--stats", "--memory", "48M", "--json")
        let tensor = try outcome.json()["tensors"][0]
        #expect(tensor["sha256"].string == "9acca8e8c22201155389f65abbf6bc9723edc7384ead80503839f49dcc56d767")
        #expect(tensor["stats"]["zeros"].int == 1 << 27)
    }

    /// 4,000,000 bytes are just under 4 MiB; a comparison holds both sides.
    @Test(arguments: [
        ("inspect D --stats", 4), ("inspect D --checksum", 4), ("inspect D --histogram a", 4),
        ("convert D out.safetensors", 4), ("diff D D", 8),
    ]) func whatOnlyDecodesWholeNeedsItsRoom(_ command: String, _ least: Int) throws {
        let command = command.replacingOccurrences(of: "D", with: Self.deflated)
        let refused = try tool.shell("untangle \(command) --memory \(least - 1)MiB --json")
        #expect(refused.status == 4)
        #expect(try refused.error()["code"].string == "io.memory")
        #expect(try refused.error()["hint"].string == "raise --memory to at least \(least)MiB")
        #expect(!tool.exists("out.safetensors"))
        #expect(try tool.shell("untangle \(command) --memory \(least)MiB").status == 0)
    }

    /// Three times 240,000 bytes are held at a time.
    @Test func vectorsNeedRoomForAllModels() throws {
        let deflated = "Fixtures/npz/compressible.npz"
        let arguments = ["vectors", "--base", deflated, deflated, deflated, "--memory"]
        let refused = try tool.run(arguments + ["703KiB", "--json"])
        #expect(refused.status == 4)
        #expect(try refused.error()["code"].string == "io.memory")
        #expect(try refused.error()["hint"].string == "raise --memory to at least 1MiB")
        #expect(try tool.run(arguments + ["704KiB"]).status == 0)
    }

    @Test func aModelThatIsMeasuredNeedsItsRoom() throws {
        let tiny = "Fixtures/suites/tiny"
        #expect(try tool.shell("untangle convert \(tiny)/base.safetensors base.skein").status == 0)
        #expect(try tool.shell("cp -L \(tiny)/config.json .").status == 0)
        let evaluate =
            "untangle evaluate base.skein --head d=\(tiny)/heads_digits.safetensors --data d=\(tiny)/test_digits.npz --json"
        let refused = try tool.shell("\(evaluate) --memory 1KiB")
        #expect(refused.status == 4)
        #expect(try refused.error()["code"].string == "io.memory")
        #expect(try tool.shell("\(evaluate) --memory 1MiB").status == 0)
    }
}
