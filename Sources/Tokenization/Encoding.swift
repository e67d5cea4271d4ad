/// A text as a model takes it.
public struct Encoding: Sendable, Hashable {
    /// The numbers of the pieces.
    public private(set) var ids: [Int32] = []
    /// What kind of text each piece belongs to.
    public private(set) var types: [Int32] = []
    /// 1 for pieces, 0 for padding.
    public private(set) var attentionMask: [UInt8] = []

    /// The number of pieces with special tokens and padding.
    public var count: Int { ids.count }

    /// Adds pieces behind the others.
    mutating func append(_ pieces: [Int32], type: Int32) {
        ids += pieces
        types += repeatElement(type, count: pieces.count)
        attentionMask += repeatElement(1, count: pieces.count)
    }

    /// Adds padding up to a length, if the text is shorter.
    mutating func pad(to length: Int, id: Int32, type: Int32, on side: TextSide) {
        let count = length - ids.count
        guard count > 0 else { return }
        let place = side == .left ? 0 : ids.count
        ids.insert(contentsOf: repeatElement(id, count: count), at: place)
        types.insert(contentsOf: repeatElement(type, count: count), at: place)
        attentionMask.insert(contentsOf: repeatElement(0, count: count), at: place)
    }
}

/// An end of a text.
public enum TextSide: String, Sendable, CaseIterable {
    case left = "Left"
    case right = "Right"
}
