import Foundation
import Glibc
import Testing

@Suite struct InterruptionTests {
    /// A conversion of 1 GiB is stopped as soon as its temporary file appears.
    @Test(arguments: [(SIGINT, 130), (SIGTERM, 143), (SIGHUP, 129)] as [(Int32, Int32)])
    func removesUnfinishedOutputs(signal: Int32, status: Int32) throws {
        let tool = try Tool()
        try Self.writeSparseCheckpoint(byteCount: 1 << 30, to: tool.folder.file("large.safetensors").string)
        let process = Process()
        process.executableURL = Tool.binary
        process.arguments = ["convert", "large.safetensors", "copy.safetensors", "--threads", "1", "--quiet"]
        process.currentDirectoryURL = URL(fileURLWithPath: tool.folder.path.string)
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        func files() throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: tool.folder.path.string).sorted()
        }
        while process.isRunning, try !files().contains(where: { $0.hasPrefix(".copy.safetensors.tmp-") }) {
            usleep(2000)
        }
        kill(process.processIdentifier, signal)
        process.waitUntilExit()
        #expect(process.terminationReason == .exit)
        #expect(process.terminationStatus == status)
        #expect(try files() == ["Fixtures", "large.safetensors"])
    }

    /// Training keeps all threads busy, those of the matrix library among them, which the signal may reach first.
    @Test func stopsTraining() throws {
        let tool = try Tool()
        let suite = "Fixtures/suites/tiny"
        let process = Process()
        process.executableURL = Tool.binary
        process.arguments = [
            "resolve", "--base", "\(suite)/base.safetensors", "--expert", "digits=\(suite)/expert_digits.safetensors",
            "--head", "digits=\(suite)/heads_digits.safetensors", "--auxiliary", "noise", "--steps", "20000",
            "--output", "adapted", "--quiet",
        ]
        process.currentDirectoryURL = URL(fileURLWithPath: tool.folder.path.string)
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        func files() -> [String] {
            (try? FileManager.default.contentsOfDirectory(atPath: tool.folder.file("adapted").string)) ?? []
        }
        while process.isRunning, files().isEmpty { usleep(2000) }
        usleep(200_000)
        kill(process.processIdentifier, SIGINT)
        process.waitUntilExit()
        #expect(process.terminationReason == .exit)
        #expect(process.terminationStatus == 130)
        #expect(files() == [])
    }

    /// One tensor of zeros that takes no space on the disk.
    static func writeSparseCheckpoint(byteCount: Int, dtype: String = "U8", to path: String) throws {
        let count = dtype == "U8" ? byteCount : byteCount / 2
        let header = #"{"zeros":{"dtype":"\#(dtype)","shape":[\#(count)],"data_offsets":[0,\#(byteCount)]}}"#
        let start = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Data($0) } + Data(header.utf8)
        try start.write(to: URL(fileURLWithPath: path))
        let file = try #require(FileHandle(forWritingAtPath: path))
        try file.truncate(atOffset: UInt64(start.count + byteCount))
        try file.close()
    }
}
