/// How a .gguf file is written.
public struct GGUFOptions: Sendable {
    /// The typed metadata of the file; nil writes the texts of the checkpoint as strings.
    public var metadata: GGUFMetadata?

    public init(metadata: GGUFMetadata? = nil) { self.metadata = metadata }
}
