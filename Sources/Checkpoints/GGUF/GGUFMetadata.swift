/// The typed key-value pairs of a GGUF file, in its order.
public struct GGUFMetadata: Sendable, Hashable {
    public private(set) var entries: [Entry] = []

    public struct Entry: Sendable, Hashable {
        public let key: String
        public let value: GGUFValue
    }

    public init() {}

    /// Takes pairs whose keys are known to differ.
    init(uniqueEntries entries: [Entry]) { self.entries = entries }

    /// Takes texts, as strings.
    public init(_ texts: Metadata) {
        entries = texts.entries.map { Entry(key: $0.key, value: .string($0.value)) }
    }

    /// The value of a key, compared by its bytes; setting an existing key keeps its place.
    public subscript(key: String) -> GGUFValue? {
        get { place(of: key).map { entries[$0].value } }
        set {
            switch (place(of: key), newValue) {
            case (let place?, let value?): entries[place] = Entry(key: key, value: value)
            case (let place?, nil): entries.remove(at: place)
            case (nil, let value?): entries.append(Entry(key: key, value: value))
            case (nil, nil): break
            }
        }
    }

    private func place(of key: String) -> Int? { entries.firstIndex { $0.key.utf8.elementsEqual(key.utf8) } }

    /// What the positions of tensors are multiples of; nil for a value that is no power of two of 32 bits.
    var alignment: Int? {
        guard let value = self[GGUFHeader.alignmentKey] else { return GGUFHeader.defaultAlignment }
        guard case .uint32(let alignment) = value, alignment.nonzeroBitCount == 1 else { return nil }
        return Int(alignment)
    }

    /// What stays true of the model when its tensors are numbers in another file: the pairs without arrays, which texts do not hold,
    /// and without what is about the file.
    var modelTexts: Metadata {
        let ofFile = ["general.file_type", "general.quantization_version", GGUFHeader.alignmentKey]
        let kept = entries.filter { $0.value.kind != .array && !ofFile.contains($0.key) }
        return GGUFMetadata(uniqueEntries: kept).texts
    }

    /// The pairs as texts; of long arrays the beginnings.
    public var texts: Metadata {
        Metadata(uniqueEntries: entries.map { .init(key: $0.key, value: $0.value.description) })
    }
}
