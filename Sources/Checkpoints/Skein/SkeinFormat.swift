import TensorCore

extension CheckpointFormat {
    static let skein = CheckpointFormat(
        id: .skein, title: "a Skein file", extensions: ["skein"],
        recognizes: { $0.head.starts(with: SkeinSeal.magic) ? .certain : nil },
        read: { try SkeinReader(opening: $0, options: $1) },
        writer: Writer(
            keepsMetadata: true, splits: false, holds: \.isPlain,
            make: { file, descriptors, metadata, options in
                if options.skein.isStored {
                    return try SkeinStoredWriter(
                        creating: file, declaring: descriptors, metadata: metadata, options: options)
                }
                return try SkeinWriter(creating: file, declaring: descriptors, metadata: metadata, options: options)
            }),
        options: [.reading("base")] + ["base", "store", "level", "chunk-size"].map { .writing($0) })
}
