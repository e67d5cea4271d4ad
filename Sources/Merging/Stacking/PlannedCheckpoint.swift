import Checkpoints
import SystemPackage
import TensorCore

/// The result of a merge that was planned and not carried out, so that a merge that builds upon it can be planned, too.
public struct PlannedCheckpoint: CheckpointReader {
    public let path: FilePath
    private let merge: StackedMerge

    /// Shows the result of a merge that is planned.
    ///
    /// - Parameter path: where the result would be.
    public init(_ merge: StackedMerge, at path: FilePath) {
        self.merge = merge
        self.path = path
    }

    public var descriptors: [TensorDescriptor] { merge.outputs }
    public var format: FormatID { .safetensors }
    public var files: [FilePath] { [path] }
    public var metadata: Metadata { Metadata() }
    public var warnings: [Warning] { [] }
    public func isMapped(_ index: Int) -> Bool { true }

    /// The bytes of a tensor that the merge copies; there are no others yet.
    ///
    /// - Throws: `io.not_found` for one that is not merged yet; what the reader of the copied one throws.
    public func bytes(of index: Int) throws -> TensorBytes {
        var place = index
        for plan in merge.plans {
            guard place >= plan.tensors.count else {
                let tensor = plan.tensors[place]
                guard case .copy = tensor.work, tensor.output.dtype == tensor.dtypes[0] else { break }
                return try plan.models[0].store.reader.bytes(of: tensor.indices[0])
            }
            place -= plan.tensors.count
        }
        throw IOError(
            kind: .notFound, message: "tensor \"\(descriptors[index].name)\" of \(path) is not merged yet",
            file: path.string)
    }

    public func location(of index: Int) -> StoredLocation {
        StoredLocation(file: path, range: 0..<descriptors[index].byteCount)
    }

    public func verify(
        deep: Bool, threads: Int, progress: @escaping @Sendable (Int) -> Void
    ) throws -> Verification { Verification() }
}
