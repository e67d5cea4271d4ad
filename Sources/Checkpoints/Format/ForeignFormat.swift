import SystemPackage

/// Something well known that is no checkpoint of ours: how it is told, what it is called, and what can be done about it today.
package enum ForeignFormat: CaseIterable {
    case ggml, hdf5, keras, pickle, torchDistributed, torchExport, torchPackage, flax, onnx, tensorFlow, tensorFlowLite
    case gzip, xz, zstd, bzip2, lz4, sevenZip, rar, tar
    case matlab, elf, png, jpeg, gif, bmp, tiff, webP, pdf, sqlite, parquet, arrow
    case lfsPointer, webPage, xml, text

    /// With its article.
    package var name: String {
        switch self {
        case .ggml: "a GGML file, the forerunner of GGUF"
        case .hdf5: "an HDF5 file"
        case .keras: "a Keras file (a zip archive with HDF5 in it)"
        case .pickle: "a Python pickle"
        case .torchDistributed: "a part of a distributed checkpoint of PyTorch"
        case .torchExport: "a program that torch.export saved"
        case .torchPackage: "an archive of torch.package, which holds programs"
        case .flax: "a MessagePack file, such as Flax writes"
        case .onnx: "an ONNX file"
        case .tensorFlow: "a TensorFlow file"
        case .tensorFlowLite: "a TensorFlow Lite file"
        case .gzip: "a gzip file"
        case .xz: "an xz file"
        case .zstd: "a Zstandard file"
        case .bzip2: "a bzip2 file"
        case .lz4: "an LZ4 file"
        case .sevenZip: "a 7z archive"
        case .rar: "a RAR archive"
        case .tar: "a tar archive"
        case .matlab: "a MATLAB file"
        case .elf: "a program or library (ELF)"
        case .png: "a PNG image"
        case .jpeg: "a JPEG image"
        case .gif: "a GIF image"
        case .bmp: "a BMP image"
        case .tiff: "a TIFF image"
        case .webP: "a WebP image"
        case .pdf: "a PDF document"
        case .sqlite: "an SQLite database"
        case .parquet: "a Parquet file"
        case .arrow: "an Arrow file"
        case .lfsPointer: "a Git LFS pointer, which stands for a file that was not fetched"
        case .webPage: "a web page"
        case .xml: "an XML document, perhaps a server's message"
        case .text: "text, perhaps a server's message"
        }
    }

    var remedy: String {
        switch self {
        case .ggml: "get the model that it was made from, as safetensors"
        case .hdf5:
            "in Keras: m = keras.models.load_model(FILE), then "
                + "numpy.savez('model.npz', **{w.path: w.numpy() for w in m.weights}); other files: with h5py in the same way"
        case .keras:
            "in Python: m = keras.saving.load_model(FILE), then "
                + "numpy.savez('model.npz', **{w.path: w.numpy() for w in m.weights})"
        case .pickle:
            "only if you trust who made it: load it in the library that wrote it, which runs what it names, and save its arrays with "
                + "numpy.savez or as safetensors"
        case .torchDistributed:
            "in Python: from torch.distributed.checkpoint.format_utils import dcp_to_torch_save, then "
                + "dcp_to_torch_save(FOLDER, 'model.pt')"
        case .torchExport: "in Python: torch.save(dict(torch.export.load(FILE).state_dict), 'model.pt')"
        case .torchPackage:
            "only if you trust who made it: m = torch.package.PackageImporter(FILE).load_pickle(PACKAGE, RESOURCE), then "
                + "torch.save(m.state_dict(), 'model.pt')"
        case .flax:
            "in Python: p = flax.serialization.msgpack_restore(open(FILE, 'rb').read()), then "
                + "safetensors.flax.save_file(flax.traverse_util.flatten_dict(p, sep='.'), 'model.safetensors')"
        case .onnx:
            "in Python: t = onnx.load(FILE).graph.initializer, then "
                + "numpy.savez('model.npz', **{x.name: onnx.numpy_helper.to_array(x) for x in t})"
        case .tensorFlowLite: "get the model that it was made from"
        case .matlab:
            "in Python: m = scipy.io.loadmat(FILE), then "
                + "numpy.savez('model.npz', **{k: v for k, v in m.items() if not k.startswith('__')})"
        case .tensorFlow:
            "in Python: r = tf.train.load_checkpoint(PREFIX), then "
                + "numpy.savez('model.npz', **{n: r.get_tensor(n) for n in r.get_variable_to_shape_map()})"
        case .gzip, .xz, .zstd, .bzip2, .lz4: "decompress it first"
        case .sevenZip, .rar, .tar: "unpack it first, and name the checkpoint in it"
        case .elf, .png, .jpeg, .gif, .bmp, .tiff, .webP, .pdf, .sqlite, .parquet, .arrow:
            "name the file with the weights"
        case .lfsPointer: "fetch the real file with `git lfs pull`"
        case .webPage: "open it in a browser to see what the server said, and download again"
        case .xml, .text: "look at it, and download the file again if a server sent it"
        }
    }

    /// What the name of a file with weights promises; nil for other names.
    init?(ofFileNamed name: String) {
        let ending = FilePath(name).extension?.lowercased() ?? ""
        if ending.hasPrefix("data-0") {
            // The numbers of a TensorFlow checkpoint: `model.ckpt.data-00000-of-00001`.
            self = .tensorFlow
            return
        }
        switch ending {
        case "distcp": self = .torchDistributed
        case "pt2": self = .torchExport
        case "ggml": self = .ggml
        case "h5", "hdf5": self = .hdf5
        case "keras": self = .keras
        case "msgpack": self = .flax
        case "onnx": self = .onnx
        case "pb": self = .tensorFlow
        case "tflite": self = .tensorFlowLite
        case "pkl", "pickle": self = .pickle
        default: return nil
        }
    }
}

// MARK: - By content

extension ForeignFormat {
    /// What the first bytes of a file say, without zip archives; nil when they say nothing.
    ///
    /// - Parameter head: 512 bytes or more, if the file has as many.
    package init?(beginning head: [UInt8]) {
        let found = Self.magics.first { magic in head.dropFirst(magic.offset).starts(with: magic.bytes) }
        if let found {
            self = found.format
        } else if Self.isBitmap(head) {
            self = .bmp
        } else if Self.isPickle(head) {
            self = Self.isDistributedMetadata(head) ? .torchDistributed : .pickle
        } else if Self.isMessagePack(head) {
            self = .flax
        } else if Self.isONNX(head) {
            self = .onnx
        } else if let text = Self.text(head) {
            self = text
        } else {
            return nil
        }
    }

    private static let magics: [(bytes: [UInt8], offset: Int, format: ForeignFormat)] = [
        // Numbers of four letters, lowest byte first.
        (Array("lmgg".utf8), 0, .ggml), (Array("fmgg".utf8), 0, .ggml), (Array("tjgg".utf8), 0, .ggml),
        (Array("algg".utf8), 0, .ggml),
        ([0x89] + Array("HDF\r\n".utf8) + [0x1A, 0x0A], 0, .hdf5),
        // Protocol 0 is text.
        (Array("(dp0\n".utf8), 0, .pickle), (Array("(lp0\n".utf8), 0, .pickle), (Array("ccopy_reg\n".utf8), 0, .pickle),
        (Array("TFL3".utf8), 4, .tensorFlowLite), (Array("MATLAB 5.0 MAT-file".utf8), 0, .matlab),
        ([0x1F, 0x8B, 0x08], 0, .gzip), ([0xFD] + Array("7zXZ".utf8) + [0], 0, .xz),
        ([0x28, 0xB5, 0x2F, 0xFD], 0, .zstd), (Array("BZh".utf8), 0, .bzip2), ([0x04, 0x22, 0x4D, 0x18], 0, .lz4),
        ([0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C], 0, .sevenZip), (Array("Rar!".utf8) + [0x1A, 0x07], 0, .rar),
        (Array("ustar".utf8), 257, .tar),
        ([0x7F] + Array("ELF".utf8), 0, .elf), ([0x89] + Array("PNG\r\n".utf8), 0, .png),
        ([0xFF, 0xD8, 0xFF], 0, .jpeg),
        (Array("GIF8".utf8), 0, .gif), (Array("II*\0".utf8), 0, .tiff), (Array("MM\0*".utf8), 0, .tiff),
        (Array("WEBP".utf8), 8, .webP), (Array("%PDF-".utf8), 0, .pdf), (Array("SQLite format 3".utf8), 0, .sqlite),
        (Array("PAR1".utf8), 0, .parquet), (Array("ARROW1".utf8), 0, .arrow),
        (Array("version https://git-lfs".utf8), 0, .lfsPointer),
    ]

    /// Two letters, a size, and four bytes that nothing uses.
    private static func isBitmap(_ head: [UInt8]) -> Bool {
        head.starts(with: "BM".utf8) && head.count >= 14 && head[6..<10].allSatisfy { $0 == 0 }
    }

    private static func isPickle(_ head: [UInt8]) -> Bool {
        head.count >= 2 && head[0] == 0x80 && (2...5).contains(head[1])
    }

    /// The `.metadata` that tells what lies in which part: its first name is that of its class.
    private static func isDistributedMetadata(_ head: [UInt8]) -> Bool {
        let module = Array("torch.distributed.checkpoint.metadata".utf8)
        return head.prefix(64).indices.contains { head.dropFirst($0).starts(with: module) }
    }

    /// A map whose first key is a name.
    private static func isMessagePack(_ head: [UInt8]) -> Bool {
        guard let first = head.first else { return false }
        let key = (0x81...0x8F).contains(first) ? 1 : first == 0xDE ? 3 : first == 0xDF ? 5 : head.count
        guard key < head.count, (0xA1...0xBF).contains(head[key]) else { return false }
        let name = head.dropFirst(key + 1).prefix(Int(head[key] & 0x1F))
        return name.allSatisfy { (0x20...0x7E).contains($0) }
    }

    /// A version of up to 20, then the name of the program that wrote it.
    private static func isONNX(_ head: [UInt8]) -> Bool {
        guard head.count > 5, head[0] == 0x08, (3...20).contains(head[1]), head[2] == 0x12, (1...60).contains(head[3])
        else { return false }
        return head.dropFirst(4).prefix(Int(head[3])).allSatisfy { (0x20...0x7E).contains($0) }
    }

    private static func text(_ head: [UInt8]) -> ForeignFormat? {
        guard head.count >= 8 else { return nil }
        guard let text = printable(head) else { return isTextOfOtherEncoding(head) ? .text : nil }
        let start = text.drop { $0.isWhitespace || $0 == "\u{FEFF}" }.prefix(10).lowercased()
        if start.hasPrefix("<!doctype") || start.hasPrefix("<html") || start.hasPrefix("<head")
            || start.hasPrefix("<!--")
        {
            return .webPage
        }
        if start.hasPrefix("<?xml") || start.hasPrefix("<error") { return .xml }
        return .text
    }

    /// UTF-16 with its mark, or what is mostly printable as ASCII and has no zeros, such as Latin-1 and what a terminal was sent.
    private static func isTextOfOtherEncoding(_ head: [UInt8]) -> Bool {
        if head.starts(with: [0xFF, 0xFE]) || head.starts(with: [0xFE, 0xFF]) { return true }
        let printable = head.count { (0x20...0x7E).contains($0) || [0x09, 0x0A, 0x0D].contains($0) }
        return !head.contains(0) && printable * 10 >= head.count * 8
    }

    /// The text that bytes are, if they are printable UTF-8 but for a character that their end may cut.
    static func printable(_ head: [UInt8]) -> String? {
        for cut in 0...min(3, head.count) {
            guard let text = String(validating: head.dropLast(cut), as: UTF8.self) else { continue }
            let isPrintable = text.unicodeScalars.allSatisfy { scalar in
                scalar.value >= 0x20 && !(0x7F...0x9F).contains(scalar.value)
                    || "\t\n\r".unicodeScalars.contains(scalar)
            }
            return isPrintable ? text : nil
        }
        return nil
    }
}

// MARK: - Zip archives

extension ForeignFormat {
    /// What an archive is by the names of its members, besides one of arrays or of PyTorch.
    init?(archiveOf names: [String]) {
        func holds(_ member: String) -> Bool { names.contains { $0.utf8.elementsEqual(member.utf8) } }
        func holds(inRoot member: String) -> Bool {
            names.contains { name in
                name.utf8.drop { $0 != UInt8(ascii: "/") }.dropFirst().elementsEqual(member.utf8)
            }
        }
        if holds("model.weights.h5") || holds("metadata.json") && holds("config.json") {
            self = .keras
        } else if holds(inRoot: ".data/extern_modules") {
            self = .torchPackage
        } else if holds(inRoot: "archive_format") || holds("serialized_exported_program.json") {
            self = .torchExport
        } else {
            return nil
        }
    }
}
