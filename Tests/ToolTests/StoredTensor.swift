import Checkpoints
import SystemPackage
import TensorCore
import TestSupport

/// A tensor of a safetensors file that a test writes byte by byte.
struct StoredTensor {
    let name: String
    let dtype: String
    let shape: [Int]
    let bytes: [UInt8]

    init(_ name: String, _ dtype: String, _ shape: [Int], bytes: [UInt8]) {
        (self.name, self.dtype, self.shape, self.bytes) = (name, dtype, shape, bytes)
    }

    init(_ name: String, _ shape: [Int], _ values: [Float]) {
        let bytes = values.flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian, Array.init) }
        self.init(name, "F32", shape, bytes: bytes)
    }

    init(_ name: String, _ shape: [Int], doubles values: [Double]) {
        let bytes = values.flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian, Array.init) }
        self.init(name, "F64", shape, bytes: bytes)
    }
}

extension Tool {
    /// Writes a safetensors file into the tool's folder.
    func write(_ name: String, _ tensors: [StoredTensor]) throws {
        var entries: [String] = []
        var data: [UInt8] = []
        for tensor in tensors {
            let end = data.count + tensor.bytes.count
            entries.append(
                "\"\(tensor.name)\":{\"dtype\":\"\(tensor.dtype)\",\"shape\":\(tensor.shape),"
                    + "\"data_offsets\":[\(data.count),\(end)]}")
            data += tensor.bytes
        }
        let header = Array("{\(entries.joined(separator: ","))}".utf8)
        let start = withUnsafeBytes(of: UInt64(header.count).littleEndian, Array.init)
        _ = try folder.write(start + header + data, to: name)
    }

    /// Writes a copy of a checkpoint of F32 in which one tensor has other numbers.
    func replace(_ name: String, of file: String, by values: [Float], in copy: String) throws {
        let store = try TensorStore(opening: folder.file(file))
        let tensors = try store.descriptors.enumerated().map { place, descriptor in
            let (text, shape) = (descriptor.name.text, descriptor.shape.dims)
            if text == name { return StoredTensor(text, shape, values) }
            let bytes = try store.reader.bytes(of: place).withUnsafeBytes(Array.init)
            return StoredTensor(text, descriptor.dtype.rawValue, shape, bytes: bytes)
        }
        try write(copy, tensors)
    }
}
