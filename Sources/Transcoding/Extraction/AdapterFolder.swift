import Checkpoints
import Reporting
import SystemPackage
import TensorCore
import Work

/// An adapter as PEFT loads it: a folder with `adapter_model.safetensors` and `adapter_config.json`.
package struct AdapterFolder {
    private let target: OutputTarget

    private static let weightsName = "adapter_model.safetensors"
    private static let configName = "adapter_config.json"
    /// What transformers takes for a model.
    private static let modelNames = [
        "config.json", "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
        "pytorch_model.bin.index.json",
    ]

    /// Takes the place of a folder.
    package init(_ target: OutputTarget) { self.target = target }

    /// Finds out before the work what would keep the folder from being written.
    ///
    /// - Throws: `usage.output_format` for the name of a file; `io.exists`, also in the folder of a model, and what else the target throws.
    package func check() throws {
        let path = target.path
        guard folderExists(path) || CheckpointFormat.named(path) == nil else {
            throw OutputError(
                .format,
                "the name \(path.string.escapingControlCharacters) is that of a file, and an adapter of PEFT is a folder",
                hint: "give a name without extension; lora merge --names kohya or diffusers writes one file")
        }
        let isAdapter = fileExists(path.appending(Self.configName))
        if !isAdapter, !target.options.force, let file = target.obstacle(Self.modelNames) {
            throw IOError.exists(
                file, "belongs to a model, which loads an adapter that lies beside it",
                hint: "give the adapter a folder of its own, or use --force")
        }
        try target.check([Self.weightsName, Self.configName])
    }

    /// Writes the folder.
    ///
    /// - Returns: what was written, and what rounding to the types of factors lost.
    /// - Throws: what readers and writers throw.
    package func write(
        _ parts: [AdapterPart], _ configuration: AdapterConfiguration
    ) throws -> (written: WrittenCheckpoint, losses: [TensorLosses]) {
        try makeFolder(target.path.removingLastComponent())
        let folder = try AtomicFolder(creating: target.path, options: target.options)
        let (written, losses) = try AdapterPart.write(
            parts, to: folder.staging.pushing(FilePath(Self.weightsName)), options: target.options)
        let text = Array((configuration.document.rendered() + "\n").utf8)
        try AtomicOutput.write(text, to: folder.staging.pushing(FilePath(Self.configName)), options: target.options)
        try folder.commit(last: Self.weightsName, withdrawing: [], removing: [])
        return (
            WrittenCheckpoint(
                files: [Self.weightsName, Self.configName].map { target.path.pushing(FilePath($0)) },
                byteCount: written.byteCount + text.count), losses
        )
    }
}
