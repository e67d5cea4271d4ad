import Glibc
import SystemPackage
import TensorCore

/// The factors by which models that were made for longer texts, as Llama 3.1 was, divide the frequencies of their rotary positions.
///
/// Low frequencies are divided by `factor`, high ones stay, those between are in between.
///
/// Source: `generate_extra_tensors` of `conversion/llama.py` of llama.cpp.
enum RotaryFactors {
    static let name: TensorName = "rope_freqs.weight"

    /// The tensor of a configuration; nil for one without such frequencies.
    ///
    /// - Shapes: `[D / 2]` for heads of width `D`.
    /// - Throws: `IOError` when there is no memory.
    static func tensor(_ config: JSONValue, headCount: Int) throws(IOError) -> MemoryCheckpoint? {
        let scaling = config["rope_parameters"] ?? config["rope_scaling"]
        guard let scaling, let kind = (scaling["rope_type"] ?? scaling["type"])?.string, kind.lowercased() == "llama3",
            let width = config["head_dim"]?.int
                ?? config["hidden_size"]?.int.map({ headCount > 0 ? $0 / headCount : 0 }),
            (2...65_536).contains(width), width % 2 == 0,
            let descriptor = try? TensorDescriptor(name: name, dtype: .f32, shape: [width / 2])
        else { return nil }
        let base = Float((scaling["rope_theta"] ?? config["rope_theta"])?.double ?? 10_000)
        let factor = Float(scaling["factor"]?.double ?? 8)
        let low = Float(scaling["low_freq_factor"]?.double ?? 1)
        let high = Float(scaling["high_freq_factor"]?.double ?? 4)
        let length = Float(
            (scaling["original_max_position_embeddings"] ?? config["original_max_position_embeddings"])?.double ?? 8192)
        let data = try AlignedBuffer(byteCount: descriptor.byteCount)
        for place in 0..<width / 2 {
            // Rounded as there, step by step.
            let frequency = 1 / pow(base, Float(2 * place) / Float(width))
            let wavelength = Float(2 * Double.pi) / frequency
            let number: Float
            if wavelength < length / high {
                number = 1
            } else if wavelength > length / low {
                number = factor
            } else {
                let smooth = (length / wavelength - low) / (high - low)
                number = 1 / ((1 - smooth) / factor + smooth)
            }
            data.mutableBytes.storeBytes(of: number.bitPattern.littleEndian, toByteOffset: 4 * place, as: UInt32.self)
        }
        return MemoryCheckpoint(tensors: [(descriptor, data)])
    }
}
