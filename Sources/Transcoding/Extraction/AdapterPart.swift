import Checkpoints
import Kernels
import SystemPackage
import TensorCore
import Work

/// A tensor of an adapter that is written.
package struct AdapterPart {
    private let name: String
    private let shape: [Int]
    private let contents: Contents

    private enum Contents {
        case factor(DType, () throws -> Matrix<Double>)
        case stored(any CheckpointReader, Int)
    }

    /// Makes sure that factors can be of a type.
    ///
    /// - Throws: `usage.dtype` for one that does not compute.
    package static func check(_ dtype: DType) throws(ConversionError) {
        guard !dtype.isComputable else { return }
        throw .usage(
            "dtype", "factors of an adapter cannot be \(dtype.rawValue)", hint: "--dtype takes F16, BF16, F32 or F64")
    }

    /// Both factors of a module whose product has the factor 1, and what its naming says of that.
    ///
    /// - Parameters:
    ///   - kernel: the dimensions of an output's weights.
    ///   - a: makes `[rank, inputs]`, row after row.
    ///   - b: makes `[outputs, rank]`.
    package static func factors(
        of module: String, _ naming: AdapterNaming = .peft, isEmbedding: Bool, rank: Int, outputs: Int, kernel: [Int],
        dtype: DType, a: @escaping () throws -> Matrix<Double>, b: @escaping () throws -> Matrix<Double>
    ) -> [AdapterPart] {
        let names = naming.factors(of: module, isEmbedding: isEmbedding)
        var parts = [
            AdapterPart(name: names.a, shape: [rank] + kernel, contents: .factor(dtype, a)),
            AdapterPart(
                name: names.b, shape: [outputs, rank] + kernel.dropFirst().map { _ in 1 }, contents: .factor(dtype, b)),
        ]
        if let alpha = names.alpha {
            parts.append(
                AdapterPart(
                    name: alpha, shape: [],
                    contents: .factor(dtype) {
                        let number = try Matrix<Double>(rows: 1, columns: 1)
                        number.pointer[0] = Double(rank)
                        return number
                    }))
        }
        return parts
    }

    /// A tensor of a checkpoint, under a name of PEFT.
    package init(copying place: Int, of reader: any CheckpointReader, as name: String) {
        self.init(
            name: "base_model.model.\(name)", shape: reader.descriptors[place].shape.dims,
            contents: .stored(reader, place))
    }

    private init(name: String, shape: [Int], contents: Contents) {
        self.name = name
        self.shape = shape
        self.contents = contents
    }

    private var dtype: DType {
        switch contents {
        case .factor(let dtype, _): dtype
        case .stored(let reader, let place): reader.descriptors[place].dtype
        }
    }

    /// Writes tensors to a safetensors file.
    ///
    /// - Returns: what was written, and what rounding to the types of factors lost.
    /// - Throws: what readers and writers throw.
    package static func write(
        _ parts: [AdapterPart], to file: FilePath, options: WriteOptions
    ) throws -> (written: WrittenCheckpoint, losses: [TensorLosses]) {
        let descriptors = try parts.map {
            try TensorDescriptor(name: TensorName($0.name), dtype: $0.dtype, shape: Shape($0.shape))
        }
        var metadata = Metadata()
        metadata["format"] = "pt"
        let writer = try CheckpointFormat.makeWriter(
            .safetensors, at: file, declaring: descriptors, metadata: metadata, options: options)
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
        return (try writer.finish(), losses)
    }
}
