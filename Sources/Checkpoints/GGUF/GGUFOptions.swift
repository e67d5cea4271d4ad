/// How a .gguf file is written.
public struct GGUFOptions: Sendable {
    /// The typed metadata of the file; without them nothing is written, as what they say depends on the model.
    public var metadata: GGUFMetadata?

    public init(metadata: GGUFMetadata? = nil) { self.metadata = metadata }
}
