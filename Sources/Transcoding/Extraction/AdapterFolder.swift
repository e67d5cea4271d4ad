import Checkpoints
import Kernels
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

    /// A tensor of an adapter.
    package struct Part {
        fileprivate let name: String
        fileprivate let shape: [Int]
        fileprivate let contents: Contents

        fileprivate enum Contents {
            case factor(DType, () throws -> Matrix<Double>)
            case stored(any CheckpointReader, Int)
        }

        /// Both factors of a module.
        ///
        /// - Parameters:
        ///   - kernel: the dimensions of an output's weights.
        ///   - a: makes `[rank, inputs]`, row after row.
        ///   - b: makes `[outputs, rank]`.
        package static func factors(
            of module: String, isEmbedding: Bool, rank: Int, outputs: Int, kernel: [Int], dtype: DType,
            a: @escaping () throws -> Matrix<Double>, b: @escaping () throws -> Matrix<Double>
        ) -> [Part] {
            let names = isEmbedding ? ["lora_embedding_A", "lora_embedding_B"] : ["lora_A.weight", "lora_B.weight"]
            return [
                Part(name: "\(module).\(names[0])", shape: [rank] + kernel, contents: .factor(dtype, a)),
                Part(
                    name: "\(module).\(names[1])", shape: [outputs, rank] + kernel.dropFirst().map { _ in 1 },
                    contents: .factor(dtype, b)),
            ]
        }

        /// A tensor of a checkpoint.
        package init(copying place: Int, of reader: any CheckpointReader, as name: String) {
            self.init(name: name, shape: reader.descriptors[place].shape.dims, contents: .stored(reader, place))
        }

        private init(name: String, shape: [Int], contents: Contents) {
            self.name = "base_model.model." + name
            self.shape = shape
            self.contents = contents
        }

        fileprivate var dtype: DType {
            switch contents {
            case .factor(let dtype, _): dtype
            case .stored(let reader, let place): reader.descriptors[place].dtype
            }
        }
    }

    /// Writes the folder.
    ///
    /// - Returns: what was written, and what rounding to the types of factors lost.
    /// - Throws: what readers and writers throw.
    package func write(
        _ parts: [Part], _ configuration: AdapterConfiguration
    ) throws -> (written: WrittenCheckpoint, losses: [TensorLosses]) {
        let descriptors = try parts.map {
            try TensorDescriptor(name: TensorName($0.name), dtype: $0.dtype, shape: Shape($0.shape))
        }
        try makeFolder(target.path.removingLastComponent())
        let folder = try AtomicFolder(creating: target.path, options: target.options)
        var metadata = Metadata()
        metadata["format"] = "pt"
        let writer = try CheckpointFormat.makeWriter(
            .safetensors, at: folder.staging.pushing(FilePath(Self.weightsName)), declaring: descriptors,
            metadata: metadata, options: target.options)
        var losses: [TensorLosses] = []
        for (number, part) in parts.enumerated() {
            switch part.contents {
            case .stored(let reader, let place):
                try reader.bytes(of: place).withUnsafeBytes { bytes in
                    if !bytes.isEmpty { try writer.write(bytes, tensor: number, at: 0) }
                }
            case .factor(let dtype, let make):
                let values = try make()
                let bytes = try AlignedBuffer(byteCount: descriptors[number].byteCount, isZeroed: false)
                let lost = Double.write(UnsafeBufferPointer(values.values), into: bytes.mutableBytes, as: dtype)
                if !lost.isZero {
                    losses.append(TensorLosses(tensor: descriptors[number].name, dtype: dtype, losses: lost))
                }
                try withExtendedLifetime(bytes) { try writer.write(bytes.bytes, tensor: number, at: 0) }
            }
        }
        let written = try writer.finish()
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
