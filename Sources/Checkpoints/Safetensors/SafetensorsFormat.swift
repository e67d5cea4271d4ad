import TensorCore

extension CheckpointFormat {
    static let safetensors = CheckpointFormat(
        id: .safetensors, title: "a safetensors file", extensions: ["safetensors"],
        recognizes: { file in
            guard file.fittingHeaderByteCount != nil else {
                return file.isNamed(.safetensors) && (1..<8).contains(file.head.count) ? .certain : nil
            }
            // A header of 0x04034B50 bytes begins with the signature of a zip; its upper length bytes are zero.
            if file.isNamed(.safetensors) { return .certain }
            let header = file.head.dropFirst(8).filter { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }
            // Under another ending it is one all the same.
            if header.starts(with: "{\"".utf8) { return .likely }
            return header.first == UInt8(ascii: "{") ? .possible : nil
        },
        read: { try SafetensorsReader(opening: $0, options: $1) },
        writer: Writer(
            keepsMetadata: true, splits: true, holds: { $0.isPlain && $0 != .plain(.c128) },
            make: { file, descriptors, metadata, options in
                ShardName.removeStale(of: file)
                if let limit = options.shardByteCount,
                    try ShardLayout(descriptors, limit: limit, file: file).isSplit
                {
                    return try ShardedSafetensorsWriter(
                        creating: file, declaring: descriptors, metadata: metadata, limit: limit, options: options)
                }
                return try SafetensorsWriter(
                    creating: file, declaring: descriptors, metadata: metadata, options: options)
            }),
        options: [.writing("shard-size")])
}
