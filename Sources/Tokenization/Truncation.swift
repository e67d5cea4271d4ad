/// How long a text may be.
public struct Truncation: Sendable, Hashable {
    /// The most pieces, with special tokens.
    public var length: Int
    /// The end that is cut off.
    public var side: TextSide

    public init(length: Int, side: TextSide = .right) {
        self.length = length
        self.side = side
    }

    /// The strategies that there are for pairs of texts; the first two are the same for a single one.
    private enum Strategy: String, CaseIterable {
        case longestFirst = "LongestFirst"
        case onlyFirst = "OnlyFirst"
        case onlySecond = "OnlySecond"
    }

    /// Reads length, direction and strategy. `stride` is how far further windows overlap, and there is one.
    init(_ component: Component) throws(TokenizerError) {
        length = try component.required("max_length").count()
        side = try component["direction"]?.choice(of: TextSide.self) ?? .right
        let strategy = try component.required("strategy")
        if try strategy.choice(of: Strategy.self) == .onlySecond {
            throw strategy.error(.unsupported, "is OnlySecond, and texts are encoded one by one")
        }
    }

    /// Cuts pieces off.
    ///
    /// - Parameter added: how many special tokens will be added.
    func apply(to ids: inout [Int32], leavingRoomFor added: Int) {
        let excess = ids.count - max(0, length - added)
        guard excess > 0 else { return }
        if side == .right { ids.removeLast(excess) } else { ids.removeFirst(excess) }
    }
}
