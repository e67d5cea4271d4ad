import Checkpoints
import Kernels
import TensorCore
import TestSupport
import Testing

/// A model in memory of F32 tensors, in their order.
func makeModel(_ tensors: [(TensorName, Shape, [Float])]) throws -> TensorStore {
    TensorStore(
        MemoryCheckpoint(
            tensors: try tensors.map { name, shape, values in
                let descriptor = try TensorDescriptor(name: name, dtype: .f32, shape: shape)
                let data = try AlignedBuffer(byteCount: descriptor.byteCount)
                values.withUnsafeBytes { data.mutableBytes.copyMemory(from: $0) }
                return (descriptor: descriptor, data: data)
            }))
}

func fixture(_ path: String) throws -> TensorStore {
    try TensorStore(opening: Fixtures.path("parity/\(path).safetensors"))
}

/// The lines of a golden file, split at spaces.
func goldenLines(_ path: String) throws -> [[String]] {
    let file = try MappedFile(Fixtures.path("parity/analysis/\(path)"))
    return String(decoding: file.bytes, as: UTF8.self).split(separator: "\n").map {
        $0.split(separator: " ").map(String.init)
    }
}

/// Compares optional numbers with the words of a golden line, of which `none` stands for nil.
func expectEqual(_ values: [Double?], _ words: [String], tolerance: Double, _ label: String) {
    #expect(values.count == words.count, "\(label)")
    for (place, (value, word)) in zip(values, words).enumerated() {
        if let expected = Double(word) {
            guard let value else {
                Issue.record("\(label) \(place): nil instead of \(expected)")
                continue
            }
            #expect(abs(value - expected) <= tolerance * max(1, abs(expected)), "\(label) \(place)")
        } else {
            #expect(value == nil, "\(label) \(place)")
        }
    }
}
