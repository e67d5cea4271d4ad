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

    /// Takes the place of a folder.
    package init(_ target: OutputTarget) { self.target = target }

    /// Finds out before the work what would keep the folder from being written.
    ///
    /// - Throws: `io.exists` and what else the target throws.
    package func check() throws { try target.check([Self.weightsName, Self.configName]) }

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
