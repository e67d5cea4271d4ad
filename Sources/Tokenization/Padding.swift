/// How texts are brought to one length.
public struct Padding: Sendable, Hashable {
    /// The length that they are brought to.
    public enum Target: Sendable, Hashable {
        /// That of the longest of a batch.
        case longest
        case fixed(Int)
    }

    public var target: Target
    /// What lengths are rounded up to; nil leaves them as they are.
    public var multiple: Int?
    public var id: Int32
    public var type: Int32
    public var side: TextSide

    public init(
        _ target: Target, multiple: Int? = nil, id: Int32, type: Int32 = 0, side: TextSide = .right
    ) {
        self.target = target
        self.multiple = multiple
        self.id = id
        self.type = type
        self.side = side
    }

    /// No text is padded further: a mistake that would take memory.
    private static let lengthLimit = 1 << 24

    /// Reads strategy, direction, multiple and the piece that texts are padded with.
    init(_ component: Component) throws(TokenizerError) {
        let strategy = try component.required("strategy")
        if let length = strategy["Fixed"] {
            target = .fixed(try Self.length(length))
        } else if strategy.value.string == "BatchLongest" {
            target = .longest
        } else {
            throw strategy.error(.unsupported, "is neither BatchLongest nor Fixed with a length")
        }
        side = try component.required("direction").choice(of: TextSide.self)
        multiple = try component["pad_to_multiple_of"].map(Self.length)
        id = try component.required("pad_id").id()
        type = try component.required("pad_type_id").id()
    }

    private static func length(_ component: Component) throws(TokenizerError) -> Int {
        let length = try component.count()
        guard length <= lengthLimit else {
            throw component.error(.unsupported, "is \(length), more than \(lengthLimit)")
        }
        return length
    }

    /// Pads the texts of a batch.
    func apply(to batch: inout [Encoding]) {
        var length =
            switch target {
            case .fixed(let length): length
            case .longest: batch.lazy.map(\.count).max() ?? 0
            }
        if let multiple, multiple > 0 { length += (multiple - length % multiple) % multiple }
        for place in batch.indices { batch[place].pad(to: length, id: id, type: type, on: side) }
    }
}
