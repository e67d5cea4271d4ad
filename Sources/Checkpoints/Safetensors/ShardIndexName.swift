import SystemPackage

/// The name of a file that lists the parts of a checkpoint: `model.safetensors.index.json`, and for a variant of its weights
/// `model.safetensors.index.fp16.json`.
package struct ShardIndexName {
    /// What stands before the ending, with the variant where there is one: `model`, `model.fp16`.
    let stem: String
    /// The format that the name promises; nil when it says none.
    let format: String?

    /// Reads a name; nil when it is not one of an index.
    package init?(_ name: String) {
        var parts = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        guard parts.count > 2, parts.removeLast().lowercased() == "json" else { return nil }
        let variant = parts.last?.lowercased() == "index" ? nil : parts.removeLast()
        guard parts.count > 1, parts.removeLast().lowercased() == "index" else { return nil }
        let known = parts.last.map { ["safetensors", "bin"].contains($0.lowercased()) } ?? false
        // Texts in several languages are named in the same way.
        guard variant == nil || known else { return nil }
        format = known ? parts.removeLast().lowercased() : nil
        stem = (parts + (variant.map { [$0] } ?? [])).joined(separator: ".")
    }
}
