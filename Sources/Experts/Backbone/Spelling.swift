import Checkpoints
import TensorCore

/// What a library calls the tensors of a family, told by what it calls them in the files that it writes.
///
/// transformers 5 has other names in memory than in files: what `state_dict()` gives is saved under those.
struct Spelling: Sendable {
    private let replacements: [SegmentReplacement]

    /// As the library writes it.
    static let written = Spelling([:])

    /// Takes parts of names and what stands in their place, in the order in which they are replaced.
    init(_ rules: KeyValuePairs<String, String>) {
        replacements = rules.compactMap { SegmentReplacement(from: $0.key, to: $0.value) }
    }

    func callAsFunction(_ name: String) -> String { replacements.reduce(TensorName(name)) { $1($0) }.text }
}
