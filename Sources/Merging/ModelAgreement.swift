import Checkpoints
import Glibc
import TensorCore

/// A tensor that all models of a merge have in the same shape.
struct AgreedTensor {
    /// As in the first model.
    let descriptor: TensorDescriptor
    /// For every model: the tensor's place in its reader, and its type.
    let indices: [Int]
    let dtypes: [DType]
    let decodedByteCount: Int
    let inputByteCount: Int
}

/// What the models have in common; making one fails when they do not fit together.
struct ModelAgreement {
    private(set) var tensors: [AgreedTensor] = []
    private(set) var warnings: [String] = []

    /// - Parameter models: the first one decides the order of the tensors.
    init(_ models: [MergeModel], selection: TensorSelection) throws {
        var differences: [String] = []
        var mixed: [TensorName] = []
        let reference = models[0]
        for descriptor in reference.store.descriptors where selection.contains(descriptor.name) {
            let name = descriptor.name
            var found: [(place: Int, descriptor: TensorDescriptor)] = []
            var isMissing = false
            for model in models {
                guard let place = model.store.index(of: name) else {
                    differences.append("tensor \"\(name)\" is in \(reference.name), not in \(model.name)")
                    isMissing = true
                    continue
                }
                let other = model.store.descriptors[place]
                found.append((place, other))
                if other.shape != descriptor.shape {
                    differences.append(
                        "tensor \"\(name)\" has shape \(descriptor.shape) in \(reference.name), \(other.shape) in \(model.name)"
                    )
                } else if other.dtype != descriptor.dtype {
                    if other.dtype.isComputable, descriptor.dtype.isComputable {
                        if mixed.last != name { mixed.append(name) }
                    } else {
                        differences.append(
                            "tensor \"\(name)\" has type \(descriptor.dtype.rawValue) in \(reference.name), "
                                + "\(other.dtype.rawValue) in \(model.name)")
                    }
                }
            }
            guard !isMissing else { continue }
            let unmapped = zip(models, found).filter { !$0.store.reader.isMapped($1.place) }
            tensors.append(
                AgreedTensor(
                    descriptor: descriptor, indices: found.map(\.place), dtypes: found.map(\.descriptor.dtype),
                    decodedByteCount: unmapped.reduce(0) { $0 + $1.1.descriptor.byteCount },
                    inputByteCount: found.reduce(0) { $0 + $1.descriptor.byteCount }))
        }
        for model in models.dropFirst() {
            for descriptor in model.store.descriptors where selection.contains(descriptor.name) {
                if reference.store.index(of: descriptor.name) == nil {
                    differences.append("tensor \"\(descriptor.name)\" is in \(model.name), not in \(reference.name)")
                }
            }
        }
        guard differences.isEmpty else { throw Self.mismatch(differences) }
        if let first = mixed.first {
            warnings.append(
                "\(mixed.count) tensors have different floating-point types in different models, such as \"\(first)\"")
        }
        try Self.checkCopies(tensors.filter { !$0.dtypes[0].isComputable }, models)
    }

    private static func mismatch(_ differences: [String]) -> MergeError {
        let places = differences.count == 1 ? "place" : "places"
        return MergeError(
            .incompatible,
            "the models do not fit together in \(differences.count) \(places): \(Self.summary(of: differences))",
            hint: "leave tensors out with --exclude, or check that all models come from one base")
    }

    /// The first few differences: an error is a line that people read, not a list of every tensor of two models.
    private static func summary(of differences: [String]) -> String {
        let shown = 8
        let rest = differences.count > shown ? "; and \(differences.count - shown) more" : ""
        return differences.prefix(shown).joined(separator: "; ") + rest
    }

    /// Tensors without arithmetic are copied, which is right only when all models hold the same bytes.
    private static func checkCopies(_ tensors: [AgreedTensor], _ models: [MergeModel]) throws {
        var differences: [String] = []
        for tensor in tensors {
            let reference = try models[0].store.reader.bytes(of: tensor.indices[0])
            for (model, place) in zip(models, tensor.indices).dropFirst() {
                let other = try model.store.reader.bytes(of: place)
                let isEqual = reference.withUnsafeBytes { a in
                    other.withUnsafeBytes { b in
                        a.count == b.count && (a.isEmpty || memcmp(a.baseAddress!, b.baseAddress!, a.count) == 0)
                    }
                }
                if !isEqual {
                    differences.append(
                        "tensor \"\(tensor.descriptor.name)\" (\(tensor.dtypes[0].rawValue)) differs between "
                            + "\(models[0].name) and \(model.name)")
                }
            }
        }
        guard !differences.isEmpty else { return }
        throw MergeError(
            .differentBuffers,
            "tensors that cannot be averaged must be the same in all models: \(Self.summary(of: differences))",
            hint: "leave them out with --exclude; quantised weights must be converted to BF16 or F32 first")
    }
}
