import TensorCore

extension CheckpointFormat {
    static let gguf = CheckpointFormat(
        id: .gguf, title: "a GGUF file", extensions: ["gguf"],
        recognizes: { $0.head.starts(with: GGUFHeader.magic) ? .certain : nil },
        read: { try GGUFReader(opening: $0, options: $1) },
        writer: Writer(
            keepsMetadata: true, splits: false, holds: { $0.ggmlNumber != nil }, needsModel: true,
            make: { file, descriptors, _, options in
                guard let metadata = options.gguf.metadata else {
                    throw FormatError(
                        .badMetadata,
                        "a GGUF file needs metadata of its model, and names that are not those of transformers",
                        file: file,
                        hint: "write the result into a folder, and convert that: untangle convert FOLDER \(file.string)"
                    )
                }
                return try GGUFWriter(creating: file, declaring: descriptors, metadata: metadata, options: options)
            }),
        options: [], findsParts: true)
}
