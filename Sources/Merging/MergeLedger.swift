import Checkpoints
import Kernels
import Synchronization
import SystemPackage
import TensorCore

/// What a merge finds out on its way while the bytes are in the cache: the hashes of its input files, and the norms of what it
/// reads and of what it writes.
///
/// An execution tells of every chunk of every input once, in the pass that merges it, and of every chunk of the result. Sums go
/// by chunks whose borders depend on the tensor alone, and are added in their order, so they depend on nothing but numbers.
package final class MergeLedger: Sendable {
    private let hashers: [FilePath: FileHasher]
    /// Files of models that the merge has no use for.
    private let unusedFiles: Set<FilePath>
    private let records = Mutex<[TensorName: [Record]]>([:])

    /// The sums of one chunk of one tensor of the result, or of one that goes into it.
    private struct Record {
        /// The model's place in the plan; nil stands for the result.
        let model: Int?
        /// The first element of the chunk.
        let start: Int
        let sums: NormSums
    }

    /// Prepares for a merge.
    ///
    /// - Parameters:
    ///   - files: those to name, and to hash, each once, unless the merge reads nothing of their model.
    ///   - others: the ledgers of merges that are carried out together with this one: what they hash is not hashed again.
    /// - Throws: `IOError` when a file cannot be read.
    package init(
        of merge: StackedMerge, files: some Sequence<FilePath>, besides others: [MergeLedger] = []
    ) throws(IOError) {
        var ranges: [FilePath: Set<Range<Int>>] = [:]
        for plan in merge.plans {
            for tensor in plan.tensors {
                for model in tensor.readModels {
                    let reader = plan.models[model].store.reader
                    guard let location = reader.plainLocation(of: tensor.indices[model]) else { continue }
                    ranges[location.file, default: []].insert(location.range)
                }
            }
        }
        var hashers: [FilePath: FileHasher] = [:]
        for file in files where hashers[file] == nil {
            if let shared = others.lazy.compactMap({ $0.hashers[file] }).first {
                hashers[file] = shared
            } else {
                hashers[file] = try FileHasher(of: file, expecting: ranges[file] ?? [])
            }
        }
        self.hashers = hashers
        unusedFiles = Set(hashers.keys).subtracting(
            merge.plans.flatMap(\.usedModels).flatMap(\.store.reader.files))
    }

    /// Takes what a piece of an input adds up to.
    func read(_ piece: InputPiece, sums: NormSums) {
        add(Record(model: piece.model, start: piece.start, sums: sums), to: piece.tensor)
    }

    /// Hashes a piece of an input where it lies in a file as it is.
    func hash(_ piece: InputPiece) {
        guard case .bytes(let bytes) = piece.input, let location = piece.location,
            let hasher = hashers[location.file]
        else { return }
        bytes.withUnsafeBytes { hasher.take(piece.range, of: $0, at: location.range.lowerBound) }
    }

    /// Reads elements of a model's tensor, of a type that computes.
    ///
    /// - Returns: what it adds up to.
    /// - Throws: what the reader throws.
    func read(_ tensor: LoadedTensor, _ elements: Range<Int>, model: Int) throws -> NormSums {
        var total = NormSums()
        for chunk in chunkRanges(of: elements, by: MergeChunk.capacity) {
            let piece = tensor.piece(chunk, of: model)
            let sums = try piece.sums()
            read(piece, sums: sums)
            hash(piece)
            total += sums
        }
        return total
    }

    /// Takes a tensor that became part of the result as it is.
    ///
    /// - Throws: what the reader throws.
    func copied(_ tensor: LoadedTensor) throws {
        if tensor.planned.output.dtype.isComputable {
            let sums = try read(tensor, tensor.elements, model: 0)
            // Other models that have it were found to have the same bytes.
            for model in tensor.planned.indices.indices.dropFirst() {
                add(Record(model: model, start: 0, sums: sums), to: tensor.planned.output.name)
            }
            wrote(sums, from: 0, of: tensor.planned)
        } else {
            hash(tensor.wholePiece(of: 0))
        }
    }

    /// Takes what elements of the result add up to, from a flat index on.
    func wrote(_ sums: NormSums, from start: Int, of tensor: PlannedTensor) {
        add(Record(model: nil, start: start, sums: sums), to: tensor.output.name)
    }

    private func add(_ record: Record, to tensor: TensorName) {
        records.withLock { $0[tensor, default: []].append(record) }
    }

    /// What was found out, once the merge is over. Reads what the merge has not read of the files.
    package func finish(threads: Int) -> MergeFigures {
        let paths = Array(hashers.keys)
        let files = parallelMap(count: paths.count, threads: threads) { place in
            let path = paths[place]
            guard let hasher = hashers[path] else { preconditionFailure("the paths are those of the files") }
            return InputFile(
                path: path, byteCount: hasher.byteCount, hash: unusedFiles.contains(path) ? nil : hasher.finish())
        }
        let norms = records.withLock(\.self).mapValues { records in
            var norms = TensorNorms()
            for record in records.sorted(by: { $0.start < $1.start }) {
                if let model = record.model {
                    norms.inputs[model, default: NormSums()] += record.sums
                } else {
                    norms.result += record.sums
                }
            }
            return norms
        }
        return MergeFigures(files: Dictionary(uniqueKeysWithValues: zip(paths, files)), norms: norms)
    }
}

extension StackedMerge {
    /// Tells a ledger of merges that other processes have carried out: reads their inputs and their result.
    ///
    /// - Throws: what the readers throw.
    package func tell(_ ledger: MergeLedger, of result: TensorStore, threads: Int) throws {
        for plan in plans {
            try parallel(count: plan.tensors.count, threads: threads) { place in
                let planned = plan.tensors[place]
                let tensor = try LoadedTensor(planned, of: plan.models, hasBase: plan.hasBase)
                guard !planned.isCopy else { return try ledger.copied(tensor) }
                for model in tensor.inputs.indices {
                    _ = try ledger.read(tensor, tensor.elements, model: model)
                }
                guard let bytes = try result.bytes(of: planned.output.name) else { return }
                let dtype = planned.output.dtype
                let width = dtype.bitWidth / 8
                bytes.withUnsafeBytes { bytes in
                    for chunk in tensor.chunks {
                        var sums = NormSums()
                        let range = chunk.lowerBound * width..<chunk.upperBound * width
                        _ = sums.add(UnsafeRawBufferPointer(rebasing: bytes[range]), dtype)
                        ledger.wrote(sums, from: chunk.lowerBound, of: planned)
                    }
                }
            }
        }
    }
}

/// A range of one of the tensors that are merged into one.
struct InputPiece: Sendable {
    /// The name of the result.
    let tensor: TensorName
    /// The model's place in the plan.
    let model: Int
    /// All of the tensor in the model, and where that lies as it is, if it does.
    let input: TensorInput
    let location: StoredLocation?
    let dtype: DType
    /// The bytes of the piece, and the flat index of its first element.
    let range: Range<Int>
    let start: Int

    /// What the elements add up to; reads them.
    ///
    /// - Throws: what the reader throws.
    func sums() throws -> NormSums {
        var sums = NormSums()
        try input.read(range) { _ = sums.add($0, dtype) }
        return sums
    }
}

/// A file of a model that was merged.
package struct InputFile: Sendable {
    package let path: FilePath
    package let byteCount: Int
    /// Of the whole file; nil when the merge reads nothing of the model.
    package let hash: ContentHash?
}

/// What a tensor of a merge adds up to, and what went into it.
package struct TensorNorms: Sendable {
    package fileprivate(set) var result = NormSums()
    /// By the models' places in the plan; none for those that were not read, or whose type does not compute.
    package fileprivate(set) var inputs: [Int: NormSums] = [:]
}

/// The figures of a merge that is over.
package struct MergeFigures: Sendable {
    package let files: [FilePath: InputFile]
    fileprivate let norms: [TensorName: TensorNorms]

    /// What a tensor of the result adds up to; nothing where its type does not compute.
    package subscript(tensor: TensorName) -> TensorNorms { norms[tensor] ?? TensorNorms() }
}

extension CheckpointReader {
    /// Where a tensor's bytes lie in a file as they are; nil for those that are decoded.
    func plainLocation(of index: Int) -> StoredLocation? {
        guard isMapped(index) else { return nil }
        let location = location(of: index)
        return location.range.count == descriptors[index].byteCount ? location : nil
    }
}
