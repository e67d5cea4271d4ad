import Checkpoints
import SystemPackage
import TensorCore
import Work

// What the base says, which all experts of a set are held to, in one tensor:
//
//     logits   F32 [N, K], of the N auxiliary inputs that steps and checks use, under the heads of all tasks with K classes together

/// Where the outputs of the base are kept for whoever adapts experts against it.
struct TeachersFile {
    private let file: StateFile

    init(at path: FilePath, fingerprint: Fingerprint, sync: Bool) {
        file = StateFile(path: path, name: "teachers", version: "teachers 1", fingerprint: fingerprint, sync: sync)
    }

    /// Removes outputs that nobody needs any more, and what killed runs have left of them.
    func remove() throws { try StateFile.remove(file.path) }

    /// Whether there are outputs of this base for these inputs, unharmed.
    var isComplete: Bool { get throws { try logits(nil) != nil } }

    /// The outputs that were kept. Where there are none, or they are damaged or others, they are computed, and kept from then on.
    ///
    /// - Parameter shape: `[N, K]`.
    /// - Throws: `IOError`, what `compute` throws.
    func outputs(_ shape: Shape, or compute: () throws -> FloatBuffer) throws -> FloatBuffer {
        if let kept = try logits(shape) {
            let outputs = try FloatBuffer(count: kept.count / MemoryLayout<Float>.stride)
            kept.withUnsafeBytes { UnsafeMutableRawBufferPointer(outputs.values).copyMemory(from: $0) }
            return outputs
        }
        let outputs = try compute()
        let piece = StateFile.Piece(
            descriptor: try Self.descriptor(shape), bytes: UnsafeRawBufferPointer(outputs.values))
        try withExtendedLifetime(outputs) { try file.save([piece]) }
        return outputs
    }

    /// The tensor that was kept.
    ///
    /// - Parameter shape: which it has to have; nil for any.
    /// - Returns: nil where it is not there, damaged, or of something else.
    private func logits(_ shape: Shape?) throws -> TensorBytes? {
        do {
            guard let reader = try file.find(), let shape = shape ?? reader.descriptors.first?.shape else { return nil }
            return try file.tensors([Self.descriptor(shape)], of: reader)[0]
        } catch is ResumeError {
            return nil
        } catch let error as IOError where error.kind == .notFound {
            // Another process had all experts adapted meanwhile.
            return nil
        }
    }

    private static func descriptor(_ shape: Shape) throws -> TensorDescriptor {
        try TensorDescriptor(name: "logits", dtype: .f32, shape: shape)
    }
}
