import SystemPackage
import TensorCore

extension SafetensorsHeader {
    /// The length field and the header, padded with spaces to a multiple of 8.
    ///
    /// - Parameters:
    ///   - entries: the tensors in the order of the header, with their ranges in the data.
    ///   - byteCount: the size that both together are to have; nil takes the least.
    /// - Throws: `FormatError` `header_too_large`, also when the header does not fit into `byteCount`.
    static func bytes(
        _ entries: [Entry], metadata: Metadata, byteCount: Int? = nil, file: FilePath
    ) throws(FormatError) -> [UInt8] {
        var json = Array("{".utf8)
        if !metadata.isEmpty {
            json.append(contentsOf: "\"__metadata__\":{".utf8)
            let sorted = metadata.entries.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
            for (position, entry) in sorted.enumerated() {
                if position > 0 { json.append(UInt8(ascii: ",")) }
                JSONEscapes.append(entry.key, to: &json)
                json.append(UInt8(ascii: ":"))
                JSONEscapes.append(entry.value, to: &json)
            }
            json.append(UInt8(ascii: "}"))
        }
        for entry in entries {
            let (descriptor, range) = (entry.descriptor, entry.range)
            if json.count > 1 { json.append(UInt8(ascii: ",")) }
            JSONEscapes.append(descriptor.name.text, to: &json)
            let dims = descriptor.shape.dims.map(String.init).joined(separator: ",")
            json.append(
                contentsOf:
                    ":{\"dtype\":\"\(descriptor.dtype.rawValue)\",\"shape\":[\(dims)],\"data_offsets\":[\(range.lowerBound),\(range.upperBound)]}"
                    .utf8)
        }
        json.append(UInt8(ascii: "}"))
        let room = byteCount.map { $0 - 8 } ?? json.count + (8 - json.count % 8) % 8
        guard json.count <= room, room <= byteCountLimit else {
            throw FormatError(
                .headerTooLarge,
                "the header of \(entries.count) tensors needs \(json.count) bytes; at most "
                    + "\(min(room, byteCountLimit)) are allowed",
                file: file, hint: "split the checkpoint with --shard-size")
        }
        json.append(contentsOf: repeatElement(0x20, count: room - json.count))
        return withUnsafeBytes(of: UInt64(json.count).littleEndian, Array.init) + json
    }
}
