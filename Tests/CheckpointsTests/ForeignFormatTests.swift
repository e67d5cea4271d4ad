import Checkpoints
import Glibc
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// Files of other software, and what goes wrong in a download, are named for what they are.
@Suite struct ForeignFormatTests {
    private let folder = TemporaryFolder()

    private func refusal(_ name: String, _ bytes: [UInt8]) throws -> FormatError {
        let path = try folder.write(bytes, to: name)
        return try #require(throws: FormatError.self) { try CheckpointFormat.open(path) }
    }

    /// The magic numbers as the documents of the formats state them.
    static let beginnings: [(String, [UInt8], String)] = [
        ("m.ggml", Array("lmgg".utf8) + [1, 0, 0, 0], "a GGML file"),
        ("m.h5", [0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A], "an HDF5 file"),
        ("m.pkl", [0x80, 4, 0x95, 0, 0, 0, 0, 0, 0, 0], "a Python pickle"),
        (
            ".metadata",
            [0x80, 4, 0x95, 0xE7, 3, 0, 0, 0, 0, 0, 0, 0x8C, 0x25]
                + Array("torch.distributed.checkpoint.metadata".utf8),
            "a part of a distributed checkpoint of PyTorch"
        ),
        ("flax_model.msgpack", [0x81, 0xA6] + Array("params".utf8) + [0x82, 0xA1, 0x61, 0xC0], "a MessagePack file"),
        ("m.onnx", [8, 8, 0x12, 7] + Array("pytorch".utf8) + [0x1A, 5], "an ONNX file"),
        ("saved_model.pb", [8, 1, 0x12, 0xF0, 0xE8, 3, 0, 0], "a TensorFlow file"),
        ("model.ckpt.data-00000-of-00001", [1, 2, 3, 4, 5, 6, 7, 8], "a TensorFlow file"),
        (
            "model.ckpt.index", [0, 0, 2, 8, 1, 0x1A, 2, 8, 1, 0x57, 0xFB, 0x80, 0x8B, 0x24, 0x75, 0x47, 0xDB],
            "a TensorFlow file"
        ),
        ("m.tflite", [0x1C, 0, 0, 0] + Array("TFL3".utf8), "a TensorFlow Lite file"),
        ("m.gz", [0x1F, 0x8B, 8, 0, 0, 0, 0, 0], "a gzip file"),
        ("m.xz", [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0, 0, 4], "an xz file"),
        ("m.zst", [0x28, 0xB5, 0x2F, 0xFD, 4, 0, 1, 0], "a Zstandard file"),
        ("m.bz2", Array("BZh91AY&SY".utf8), "a bzip2 file"),
        ("m.7z", [0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C, 0, 4], "a 7z archive"),
        ("m.rar", Array("Rar!".utf8) + [0x1A, 7, 1, 0], "a RAR archive"),
        ("m.tar", Array("a".utf8) + [UInt8](repeating: 0, count: 256) + Array("ustar".utf8), "a tar archive"),
        ("m.so", [0x7F, 0x45, 0x4C, 0x46, 2, 1, 1, 0], "a program or library (ELF)"),
        ("m.png", [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A], "a PNG image"),
        ("m.jpg", [0xFF, 0xD8, 0xFF, 0xE0, 0, 0x10, 0x4A, 0x46], "a JPEG image"),
        ("m.bmp", Array("BM".utf8) + [0x46, 0, 0, 0, 0, 0, 0, 0, 0x36, 0, 0, 0], "a BMP image"),
        ("m.tif", Array("II*".utf8) + [0, 8, 0, 0, 0], "a TIFF image"),
        ("m.webp", Array("RIFF".utf8) + [0x24, 0, 0, 0] + Array("WEBPVP8 ".utf8), "a WebP image"),
        ("m.pdf", Array("%PDF-1.7\n%".utf8) + [0xE2], "a PDF document"),
        ("p.dat", Array("version https://git-lfs.github.com/spec/v1\n".utf8), "a Git LFS pointer"),
        ("m.html", Array("\n<!DOCTYPE html><html>".utf8), "a web page"),
        ("m.htm", Array("<!-- 404 -->\n<html>".utf8), "a web page"),
        (
            "frozen.pb", [0x0A, 0x0F, 0x0A, 1] + Array("x".utf8) + [0x12, 0x0B] + Array("Placeholder weights".utf8),
            "a TensorFlow file"
        ),
        ("m.mat", Array("MATLAB 5.0 MAT-file, Platform: GLNXA64".utf8), "a MATLAB file"),
        ("m.pkl", Array("(dp0\nVa\np1\nI1\ns.".utf8), "a Python pickle"),
        ("ansi", Array("\u{1B}[31mnot found\u{1B}[0m".utf8), "text"),
        ("latin", Array("Entr".utf8) + [0xE9] + Array("e absente du serveur".utf8), "text"),
        ("utf16", [0xFF, 0xFE] + "<html>".utf16.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }, "text"),
    ]

    /// Also under the name of a format of ours, where the code is that of the format's own rule.
    @Test(arguments: beginnings) func namesWhatItIs(_ name: String, _ bytes: [UInt8], _ what: String) throws {
        let bytes = bytes + [UInt8](repeating: 0, count: name == "m.tar" ? 300 : 0)
        let error = try refusal(name, bytes)
        #expect(error.category == .unknownFormat)
        #expect(error.message.contains(" is \(what)"))
        #expect(error.hint != nil)
        guard !name.hasPrefix("model.ckpt"), !name.hasSuffix(".pb") else { return }
        for (ending, category) in [
            ("safetensors", FormatCategory.headerTooLarge), ("npz", .badMagic), ("bin", .badMagic),
        ] {
            let renamed = try refusal("x.\(ending)", bytes)
            #expect(renamed.message.contains(" is \(what)"))
            // A web page is no JSON, and neither is a tar archive, which seems to state a short header.
            let isOther = ending == "safetensors" && ["a web page", "a tar archive"].contains(what)
            let isTar = ending == "bin" && what == "a tar archive"
            #expect(renamed.category == (isOther ? .invalidJSON : isTar ? .unsupportedArchive : category))
        }
    }

    @Test func showsTheBeginningOfText() throws {
        let message = try refusal("10.safetensors", Array(#"{"error":"Entry not found"}"#.utf8))
        #expect(
            message.message
                == #"\#(folder.file("10.safetensors")) is text, perhaps a server's message: {"error":"Entry not found"}"#
        )
        #expect(message.category == .headerTooLarge)
        let long = try refusal("a.npz", Array("Not found\n\té".utf8) + [UInt8](repeating: 0x78, count: 100))
        // 60 bytes: 14 of them are "Not found é" with its white space.
        #expect(long.message.hasSuffix(": Not found é" + String(repeating: "x", count: 47) + "..."))
        #expect(long.category == .badMagic)
        #expect(try refusal("config.json", Array(#"{"depth": 2}"#.utf8)).message.hasSuffix(#" is text: {"depth": 2}"#))
        let xml = try refusal("a.bin", Array("<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code>".utf8))
        #expect(xml.message.contains("an XML document, perhaps a server's message: <?xml"))
    }

    @Test func saysThatAFileIsEmptyOrZero() throws {
        #expect(try refusal("a.safetensors", []).category == .truncated)
        #expect(try refusal("a.npz", []).message.hasSuffix(" is empty"))
        let zero = try refusal("a.safetensors", [UInt8](repeating: 0, count: 4000))
        #expect(zero.message.hasSuffix(" begins with 4000 bytes of zero, as an interrupted download leaves them"))
        #expect(try refusal("a.skein", [UInt8](repeating: 0, count: 4000)).category == .badMagic)
    }

    /// The members as PyTorch 2.15 wrote them.
    @Test(arguments: [
        (["metadata.json", "config.json", "model.weights.h5"], "a Keras file"),
        (
            [
                "m/data/weights/weight_0", "m/data/weights/model_weights_config.json", "m/models/model.json",
                "m/data/sample_inputs/model.pt", "m/archive_format", "m/archive_version", "m/byteorder",
            ], "a program that torch.export saved"
        ),
        (
            [
                "p/.data/0.storage", "p/model/model.pkl", "p/.data/extern_modules", "p/.data/python_version",
                "p/byteorder",
            ],
            "an archive of torch.package"
        ),
    ])
    func namesArchives(_ names: [String], _ what: String) throws {
        for name in ["m.keras", "m.zip", "m.npz", "m.pt2", "m.pt"] {
            let error = try refusal(name, zipFile(names.map { ($0, [1, 2, 3]) }))
            #expect(error.message.contains(" is \(what)"))
            #expect(error.hint != nil)
        }
    }

    /// A folder of torch.distributed.checkpoint, whose parts are archives behind each other.
    @Test func namesDistributedCheckpoints() throws {
        let part = zipFile([("archive/data.pkl", [0x4E, 0x2E])])
        let error = try refusal("__0_0.distcp", part + part)
        #expect(error.category == .unknownFormat)
        #expect(error.message.contains(" is a part of a distributed checkpoint of PyTorch"))
        #expect(error.hint?.contains("dcp_to_torch_save") == true)
        let whole = try #require(throws: FormatError.self) { try CheckpointFormat.open(folder.path) }
        #expect(whole.message.hasSuffix("but __0_0.distcp, a part of a distributed checkpoint of PyTorch"))
        #expect(whole.hint == error.hint)
    }

    @Test func warnsOfPickles() throws {
        #expect(
            try refusal("m.pt", [0x80, 4, 0x95, 0, 0, 0, 0, 0, 0, 0]).hint?.contains("only if you trust who made it")
                == true)
    }

    @Test func anArchiveWithoutArraysIsToBeUnpacked() throws {
        let error = try refusal("m.zip", zipFile([("m/model.safetensors", [1, 2, 3, 4, 5, 6]), ("m/a.txt", [])]))
        #expect(
            error.message
                == #"the zip archive holds no array, but 2 other files: "m/model.safetensors", "m/a.txt""#)
        #expect(error.hint == "unpack it first, and name the checkpoint in it")
    }
}

/// A zip archive of stored members.
func zipFile(_ members: [(name: String, bytes: [UInt8])]) -> [UInt8] {
    var file: [UInt8] = []
    var directory: [UInt8] = []
    for member in members {
        let record = ZipRecord.Member(
            name: Array(member.name.utf8), crc32: member.bytes.withUnsafeBytes(CRC32.of),
            compressedByteCount: member.bytes.count, byteCount: member.bytes.count, localHeaderOffset: file.count,
            padding: 0)
        file += ZipRecord.localHeader(record) + member.bytes
        directory += ZipRecord.directoryHeader(record)
    }
    let start = file.count
    return file + directory + ZipRecord.end(entryCount: members.count, directory: start..<start + directory.count)
}
