import Glibc
import SystemPackage
import TensorCore

/// Chooses the reader for an input by its content and the writer for an output by its name.
public enum CheckpointFormat {
    /// Opens the checkpoint at a path: a file, a `*.index.json`, or a folder that holds one.
    public static func open(_ path: FilePath, options: ReadOptions = ReadOptions()) throws -> any CheckpointReader {
        throw IOError(code: "io.failed", message: "pending", file: path.string)
    }

    /// The format that an output path asks for by its extension; nil when it names none.
    public static func format(ofOutput path: FilePath) -> FormatID? {
        switch path.extension?.lowercased() {
        case "safetensors": .safetensors
        case "npz": .npz
        case "npy": .npy
        default: nil
        }
    }

    /// Starts writing a checkpoint.
    ///
    /// - Throws: `FormatError` when the format cannot hold a declared tensor, `IOError` when the file cannot be made.
    public static func makeWriter(
        _ format: FormatID, at path: FilePath, declaring descriptors: [TensorDescriptor],
        metadata: Metadata = Metadata(),
        options: WriteOptions = WriteOptions()
    ) throws -> any CheckpointWriter {
        throw IOError(code: "io.failed", message: "pending", file: path.string)
    }
}
