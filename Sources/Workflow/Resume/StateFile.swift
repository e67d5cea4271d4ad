import Checkpoints
import SystemPackage
import TensorCore
import Work

// The state of work that is under way, in a safetensors file. Its metadata are
//
//     untangle              what it is the state of, and the version of its form
//     content               the XXH3-128 of the tensors in the order in which they were written
//     kind                  of the fingerprint
//     fingerprint.0007.X    the part X of the fingerprint, behind its place from 0000 on

/// A file that keeps the state of work until it is finished, and knows which work that is.
struct StateFile {
    let path: FilePath
    /// What messages call the work.
    let name: String
    /// Such as `resolver state 3`.
    let version: String
    let fingerprint: Fingerprint
    let sync: Bool

    /// A tensor of a state.
    struct Piece {
        let descriptor: TensorDescriptor
        let bytes: UnsafeRawBufferPointer
    }

    /// Removes a state that nobody needs any more, and what killed runs have left of it.
    static func remove(_ path: FilePath) throws {
        AtomicOutput.removeRemains(of: path)
        try removeFile(path)
    }

    /// Puts a state in the place of the one before, whole or not at all.
    ///
    /// - Throws: `IOError`; what was kept before is kept then.
    func save(_ pieces: [Piece]) throws {
        var metadata = Metadata()
        metadata["untangle"] = version
        let hash = ContentHash.Accumulator()
        for piece in pieces { hash.update(piece.bytes) }
        metadata["content"] = hash.finish().description
        metadata["kind"] = fingerprint.kind
        for (place, part) in fingerprint.parts.enumerated() {
            metadata["\(Self.prefix(of: place))\(part.name)"] = part.value
        }
        let writer = try SafetensorsWriter(
            creating: path, declaring: pieces.map(\.descriptor), metadata: metadata,
            options: WriteOptions(force: true, sync: sync))
        for (tensor, piece) in pieces.enumerated() { try writer.write(piece.bytes, tensor: tensor, at: 0) }
        _ = try writer.finish()
    }

    /// What stands before a part's name: metadata have an order of their own.
    private static func prefix(of place: Int) -> String {
        let digits = String(place)
        return "fingerprint.\(String(repeating: "0", count: max(0, 4 - digits.count)))\(digits)."
    }

    /// Finds the state that an interrupted run has left.
    ///
    /// - Returns: nil when there is none.
    /// - Throws: `resume.changed` when it is one of other work, which names what differs; `resume.damaged` when it is no state;
    ///   `IOError`.
    func find() throws -> SafetensorsReader? {
        guard fileExists(path) else { return nil }
        let reader: SafetensorsReader
        do { reader = try SafetensorsReader(opening: path) } catch let error as FormatError {
            throw damaged(error.message)
        }
        guard reader.metadata["untangle"] == version, let kind = reader.metadata["kind"] else {
            throw damaged("it is no \(version)")
        }
        let entries = reader.metadata.entries.filter { $0.key.hasPrefix("fingerprint.") }.sorted { $0.key < $1.key }
        let parts = entries.map { Fingerprint.Part(String($0.key.dropFirst(Self.prefix(of: 0).count)), $0.value) }
        let differences = fingerprint.differences(since: Fingerprint(kind: kind, parts: parts))
        guard differences.isEmpty else { throw ResumeError.changed(differences, work: name, file: path) }
        return reader
    }

    /// The tensors of a state that was found, in the order in which they were written.
    ///
    /// - Throws: `resume.damaged` when one is missing or has another shape, or when contents are not those that were written.
    func tensors(_ expected: [TensorDescriptor], of reader: SafetensorsReader) throws(ResumeError) -> [TensorBytes] {
        try check(expected, of: reader)
        let bytes = expected.compactMap { expected in
            reader.descriptors.firstIndex { $0.name == expected.name }.map { reader.bytes(of: $0) }
        }
        let hash = ContentHash.Accumulator()
        for tensor in bytes { tensor.withUnsafeBytes { hash.update($0) } }
        guard hash.finish().description == reader.metadata["content"] else {
            throw damaged("its contents are not those that were written")
        }
        return bytes
    }

    /// Makes sure that a state has the tensors that it is to have.
    ///
    /// - Throws: `resume.damaged`.
    func check(_ expected: [TensorDescriptor], of reader: SafetensorsReader) throws(ResumeError) {
        for expected in expected {
            let found = reader.descriptors.first { $0.name == expected.name }
            guard found == expected else {
                let text = found.map { "\($0.dtype) \($0.shape)" } ?? "missing"
                throw damaged("\"\(expected.name)\" is \(text) and not \(expected.dtype) \(expected.shape)")
            }
        }
    }

    func damaged(_ problem: String) -> ResumeError {
        ResumeError(.damaged, "the state of \"\(name)\" cannot be used: \(problem)", file: path)
    }
}
