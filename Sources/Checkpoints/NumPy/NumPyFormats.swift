import TensorCore

extension CheckpointFormat {
    static let npy = CheckpointFormat(
        id: .npy, title: "a NumPy array", extensions: ["npy"],
        recognizes: { $0.head.starts(with: NpyHeader.magic) ? .certain : nil },
        read: { try NpyReader(opening: $0, options: $1) },
        writer: Writer(
            keepsMetadata: false, splits: false, holds: numPyHolds,
            make: { try NpyWriter(creating: $0, declaring: $1, options: $3) }),
        options: [.reading("npy-void"), .writing("upcast")])

    static let npz = CheckpointFormat(
        id: .npz, title: "a NumPy archive", extensions: ["npz"],
        recognizes: { file in
            guard file.isZip else { return nil }
            return file.archiveNames.contains { $0.hasSuffix(".npy") } ? .certain : .likely
        },
        read: { try NpzReader(opening: $0, options: $1) },
        writer: Writer(
            keepsMetadata: false, splits: false, holds: numPyHolds,
            make: { try NpzWriter(creating: $0, declaring: $1, metadata: $2, options: $3) }),
        options: [.reading("npy-void"), .writing("upcast")])

    @Sendable private static func numPyHolds(_ layout: ElementLayout) -> Bool {
        layout.isPlain && layout.dtype.numPyDescr != nil
    }
}
