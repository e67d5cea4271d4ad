import TensorCore

extension CheckpointFormat {
    static let torch = CheckpointFormat(
        id: .torch, title: "a PyTorch file", extensions: ["pt", "pth", "bin", "ckpt"],
        recognizes: { file in
            if file.head.starts(with: TorchStream.magic.dropLast()) { return .certain }
            guard file.isZip else { return nil }
            let names = file.archiveNames
            if names.contains(where: { $0.hasSuffix("/data.pkl") }), !names.contains(where: { $0.hasSuffix(".npy") }) {
                return .certain
            }
            // The directory may be gone, or a record that every checkpoint has.
            let isLikely = names.contains { name in TorchArchive.records.contains { name.hasSuffix($0) } }
            return isLikely || file.isNamed(.torch) ? .likely : nil
        },
        read: { try TorchReader(opening: $0, options: $1) }, writer: nil, options: [.reading("root")])
}
