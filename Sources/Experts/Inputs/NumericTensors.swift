import Checkpoints
import Kernels
import SystemPackage
import TensorCore

/// Reads whole tensors as numbers, for backbones, heads and data that fit in memory.
extension TensorStore {
    /// The values of a floating-point tensor as F32, row-major.
    ///
    /// - Throws: `input.missing_tensor`, `input.bad_dtype`, `input.quantized`, `FormatError` for damaged data and what is
    ///   no tensor.
    func floats(_ name: TensorName) throws -> (shape: Shape, values: [Float]) {
        let descriptor = try required(name)
        try requireMemory(count: descriptor.elementCount, of: Float.self)
        var values = [Float](repeating: 0, count: descriptor.elementCount)
        try values.withUnsafeMutableBufferPointer { try read(name, into: $0) }
        return (descriptor.shape, values)
    }

    /// Reads a floating-point tensor as F32, row-major.
    ///
    /// - Precondition: there is room for exactly its values.
    /// - Throws: as `floats`.
    private func read(_ name: TensorName, into values: UnsafeMutableBufferPointer<Float>) throws {
        let descriptor = try required(name)
        guard descriptor.dtype.isComputable else {
            if let quantization = Quantization(of: self), quantization.parts.contains(name) {
                throw WeightsError.quantized(
                    path.string, quantization, parts: [name] + quantization.parts.subtracting([name]).sorted(),
                    file: path, problem: "they cannot be computed with one by one")
            }
            throw InputError(
                .badDtype, "\"\(name)\" is \(descriptor.dtype.rawValue); F16, BF16, F32 or F64 is needed", file: path,
                tensor: name)
        }
        try required(bytes: name).withUnsafeBytes { widen($0, descriptor.dtype, into: values) }
    }

    /// The values of a floating-point tensor as F32, none of them NaN or infinite: what is computed with such numbers means nothing
    /// and may look as if it did.
    ///
    /// - Parameters:
    ///   - place: says where the number at a flat index is.
    ///   - hint: of the error.
    /// - Throws: as `floats`, and `input.bad_value` with how many numbers are none.
    func finiteFloats(
        _ name: TensorName, hint: String? = "see untangle inspect --stats",
        place: (Int) -> String = { "at position \($0)" }
    ) throws -> (shape: Shape, values: [Float]) {
        let (shape, values) = try floats(name)
        try values.withUnsafeBufferPointer { try checkFinite($0, of: name, hint: hint, place: place) }
        return (shape, values)
    }

    /// Reads a floating-point tensor as F32, row-major, none of them NaN or infinite.
    ///
    /// - Precondition: there is room for exactly its values.
    /// - Throws: as `finiteFloats`.
    func readFinite(_ name: TensorName, into values: UnsafeMutableBufferPointer<Float>) throws {
        try read(name, into: values)
        try checkFinite(UnsafeBufferPointer(values), of: name)
    }

    private func checkFinite(
        _ values: UnsafeBufferPointer<Float>, of name: TensorName, hint: String? = "see untangle inspect --stats",
        place: (Int) -> String = { "at position \($0)" }
    ) throws {
        let isSound = values.baseAddress.map { isFinite($0, count: values.count) } ?? true
        guard !isSound, let first = values.firstIndex(where: { !$0.isFinite }) else { return }
        let dtype = try required(name).dtype
        let stored = try required(bytes: name).withUnsafeBytes { countNonFinite($0, dtype) }
        let beyond = values.count { !$0.isFinite } - stored.nan - stored.infinite
        let found =
            (stored.isZero ? [] : [stored.text])
            + (beyond == 0 ? [] : ["\(beyond) \(beyond == 1 ? "number" : "numbers") that F32 cannot hold"])
        throw InputError(
            .badValue, "\"\(name)\" holds \(found.joined(separator: " and ")), the first \(place(first))", file: path,
            tensor: name, hint: hint)
    }

    /// The values of a tensor of integers or truth values.
    ///
    /// - Throws: `input.missing_tensor`, `input.bad_dtype`, `input.bad_value` for one beyond 63 bits.
    func integers(_ name: TensorName) throws -> (shape: Shape, values: [Int]) {
        let descriptor = try required(name)
        let bytes = try required(bytes: name)
        try requireMemory(count: descriptor.elementCount, of: Int.self)
        func load<T: FixedWidthInteger>(_ type: T.Type) throws -> [Int] {
            try bytes.withUnsafeBytes { raw in
                try (0..<descriptor.elementCount).map { index in
                    let value = T(
                        littleEndian: raw.loadUnaligned(fromByteOffset: index * MemoryLayout<T>.size, as: T.self))
                    guard let value = Int(exactly: value) else {
                        throw InputError(
                            .badValue, "\"\(name)\" has the value \(value) at position \(index)", file: path,
                            tensor: name)
                    }
                    return value
                }
            }
        }
        let values: [Int] =
            switch descriptor.dtype {
            case .bool, .u8: try load(UInt8.self)
            case .i8: try load(Int8.self)
            case .u16: try load(UInt16.self)
            case .i16: try load(Int16.self)
            case .u32: try load(UInt32.self)
            case .i32: try load(Int32.self)
            case .u64: try load(UInt64.self)
            case .i64: try load(Int64.self)
            default:
                throw InputError(
                    .badDtype, "\"\(name)\" is \(descriptor.dtype.rawValue); integers are needed", file: path,
                    tensor: name)
            }
        return (descriptor.shape, values)
    }

    /// The descriptor of a tensor that must be there.
    func required(_ name: TensorName) throws -> TensorDescriptor {
        guard let descriptor = descriptor(named: name) else {
            if let member = reader.unreadable.first(where: { $0.name == name }) { throw member.error }
            throw InputError(
                .missingTensor, "\(path.string) has no tensor \"\(name)\"", file: path, tensor: name,
                hint: nearestName(to: name.text, among: descriptors.map(\.name.text)).map { "did you mean \"\($0)\"?" })
        }
        return descriptor
    }

    private func required(bytes name: TensorName) throws -> TensorBytes {
        guard let bytes = try bytes(of: name) else {
            throw InputError(.missingTensor, "\(path.string) has no tensor \"\(name)\"", file: path, tensor: name)
        }
        return bytes
    }
}
