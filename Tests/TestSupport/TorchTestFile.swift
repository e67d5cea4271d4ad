import Checkpoints
import TensorCore

/// Pickles and PyTorch files put together byte by byte.
package enum TorchTestFile {
    // MARK: - Operations of pickles

    package static func text(_ text: String) -> [UInt8] { [0x58] + little(UInt32(text.utf8.count)) + Array(text.utf8) }
    package static func global(_ module: String, _ name: String) -> [UInt8] { Array("c\(module)\n\(name)\n".utf8) }
    package static func int(_ value: Int32) -> [UInt8] { [0x4A] + little(UInt32(bitPattern: value)) }
    package static func tuple(_ items: [[UInt8]]) -> [UInt8] { [0x28] + items.joined() + [0x74] }
    package static func list(_ items: [[UInt8]]) -> [UInt8] { [0x5D, 0x28] + items.joined() + [0x65] }
    package static func dict(_ items: KeyValuePairs<String, [UInt8]>) -> [UInt8] {
        [0x7D, 0x28] + items.flatMap { text($0.key) + $0.value } + [0x75]
    }
    package static func ints(_ values: [Int]) -> [UInt8] {
        tuple(values.map { Int32(exactly: $0).map(int) ?? [0x8A, 8] + little(Int64($0)) })
    }
    package static func repeated(_ step: [UInt8], _ count: Int) -> [UInt8] {
        Array(repeatElement(step, count: count).joined())
    }
    package static let orderedDict = global("collections", "OrderedDict") + [0x29, 0x52]
    package static func pickle(_ body: [UInt8], version: UInt8 = 2) -> [UInt8] { [0x80, version] + body + [0x2E] }

    /// A tensor as `torch.save` writes it.
    package static func tensor(
        _ type: String = "FloatStorage", key: String = "0", count: Int, shape: [Int], strides: [Int], offset: Int = 0,
        part: [UInt8]? = nil, metadata: [UInt8]? = nil
    ) -> [UInt8] {
        let storage =
            tuple(
                [
                    text("storage"), global("torch", type), text(key), text("cpu"), int(Int32(count)),
                ] + [part].compactMap { $0 }) + [0x51]
        return global("torch._utils", "_rebuild_tensor_v2")
            + tuple(
                [storage, int(Int32(offset)), ints(shape), ints(strides), [0x89], orderedDict]
                    + [metadata].compactMap { $0 })
            + [0x52]
    }

    // MARK: - Files

    /// An archive of stored members.
    package static func zip(_ members: [(name: String, bytes: [UInt8])]) -> [UInt8] {
        var file: [UInt8] = []
        var directory: [UInt8] = []
        for (name, bytes) in members {
            let sum = bytes.withUnsafeBytes { CRC32.of($0) }
            let sizes = little(UInt32(bytes.count)) + little(UInt32(bytes.count))
            let common: [UInt8] =
                [20, 0, 0, 8, 0, 0, 0, 0, 0x21, 0] + little(sum) + sizes + little(UInt16(name.utf8.count)) + [0, 0]
            directory +=
                [0x50, 0x4B, 1, 2, 20, 0] + common + [0, 0, 0, 0, 0, 0, 0, 0, 0, 0] + little(UInt32(file.count))
                + Array(name.utf8)
            file += [0x50, 0x4B, 3, 4] + common + Array(name.utf8) + bytes
        }
        let count = little(UInt16(members.count))
        return file + directory + [0x50, 0x4B, 5, 6, 0, 0, 0, 0] + count + count + little(UInt32(directory.count))
            + little(UInt32(file.count)) + [0, 0]
    }

    /// An archive of a pickle and of storages, in their order.
    package static func archive(_ body: [UInt8], _ storages: [[UInt8]] = [], order: String? = nil) -> [UInt8] {
        zip(
            [("archive/data.pkl", pickle(body))] + (order.map { [("archive/byteorder", Array($0.utf8))] } ?? [])
                + storages.enumerated().map { ("archive/data/\($0.offset)", $0.element) })
    }

    /// The older stream.
    package static func stream(_ body: [UInt8], _ storages: [(key: String, count: Int, bytes: [UInt8])]) -> [UInt8] {
        let magic: [UInt8] = [0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19]
        return pickle(magic) + pickle([0x4D, 0xE9, 0x03]) + pickle(dict(["little_endian": [0x88]])) + pickle(body)
            + pickle(list(storages.map { text($0.key) }))
            + storages.flatMap { little(UInt64($0.count)) + $0.bytes }
    }

    package static func floats(_ values: [Float]) -> [UInt8] { values.flatMap { little($0.bitPattern) } }

    package static func little(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }
}
