/// Byte strings with their numbers, arranged so that all that begin a text are found in one walk.
///
/// The edges of the tree lie in one open table: a slot holds the node that an edge leaves, its byte, and the node that it leads to.
struct PieceTrie: Sendable {
    /// A place in the tree; 0 is the root, to which no edge leads.
    typealias Node = UInt32

    static let root: Node = 0
    private var slots: [UInt64]
    private var mask: Int
    /// The number of the string that ends at each node; -1 where none does.
    private var ids: [Int32] = [-1]

    private static let nodeLimit = 1 << 28

    init() {
        slots = [UInt64](repeating: 0, count: 1 << 8)
        mask = slots.count - 1
    }

    /// Adds a string.
    ///
    /// - Returns: the number that it already has and keeps; nil when it is new.
    /// - Throws: `TokenizerError` `tokenizer.bad_file` when there are more nodes than can be told apart.
    mutating func insert(_ string: some Sequence<UInt8>, id: Int32) throws(TokenizerError) -> Int32? {
        let node = Int(try self.node(for: string))
        guard ids[node] < 0 else { return ids[node] }
        ids[node] = id
        return nil
    }

    /// Gives a string a number, also where it has one.
    ///
    /// - Throws: as `insert`.
    mutating func set(_ string: some Sequence<UInt8>, id: Int32) throws(TokenizerError) {
        ids[Int(try node(for: string))] = id
    }

    /// The node of a string, which is made where there is none.
    private mutating func node(for string: some Sequence<UInt8>) throws(TokenizerError) -> Node {
        var node = Self.root
        for byte in string {
            let edge = Self.edge(node, byte)
            var slot = Self.hash(edge) & mask
            while slots[slot] != 0, slots[slot] >> 28 != edge { slot = (slot + 1) & mask }
            guard slots[slot] == 0 else {
                node = Node(slots[slot] & 0xFFF_FFFF)
                continue
            }
            guard ids.count < Self.nodeLimit else {
                throw TokenizerError(.badFile, "the vocabulary is longer than \(Self.nodeLimit) bytes")
            }
            slots[slot] = edge << 28 | UInt64(ids.count)
            node = Node(ids.count)
            ids.append(-1)
            if ids.count * 2 > slots.count { grow() }
        }
        return node
    }

    private mutating func grow() {
        let old = slots
        slots = [UInt64](repeating: 0, count: old.count * 2)
        mask = slots.count - 1
        for edge in old where edge != 0 {
            var slot = Self.hash(edge >> 28) & mask
            while slots[slot] != 0 { slot = (slot + 1) & mask }
            slots[slot] = edge
        }
    }

    /// The node that a byte leads to; nil where no string goes on that way.
    @inline(__always) func child(of node: Node, _ byte: UInt8) -> Node? {
        let edge = Self.edge(node, byte)
        var slot = Self.hash(edge) & mask
        while true {
            let found = slots[slot]
            if found == 0 { return nil }
            if found >> 28 == edge { return Node(found & 0xFFF_FFFF) }
            slot = (slot + 1) & mask
        }
    }

    /// The node that a text leads to.
    @inline(__always) func node(after text: some Sequence<UInt8>, from start: Node = root) -> Node? {
        var node = start
        for byte in text {
            guard let next = child(of: node, byte) else { return nil }
            node = next
        }
        return node
    }

    /// The number of the string that ends at a node; nil where none does.
    @inline(__always) func id(at node: Node) -> Int32? {
        let id = ids[Int(node)]
        return id < 0 ? nil : id
    }

    /// The number of a string; nil when it is none of them.
    @inline(__always) func id(of string: some Sequence<UInt8>) -> Int32? { node(after: string).flatMap(id(at:)) }

    /// The longest string that a text has at a position.
    @inline(__always) func longest(
        in text: UnsafeBufferPointer<UInt8>, from start: Int, after node: Node = root
    ) -> (id: Int32, end: Int)? {
        var node = node
        var best: (id: Int32, end: Int)?
        var position = start
        while position < text.count, let next = child(of: node, text[position]) {
            node = next
            position += 1
            if let id = id(at: node) { best = (id, position) }
        }
        return best
    }

    /// Node and byte in 36 bits; with the node that it leads to, which is not the root, a slot is never 0.
    @inline(__always) private static func edge(_ node: Node, _ byte: UInt8) -> UInt64 {
        UInt64(node) << 8 | UInt64(byte)
    }

    @inline(__always) private static func hash(_ edge: UInt64) -> Int {
        let product = (edge &+ 1) &* 0x9E37_79B9_7F4A_7C15
        return Int(truncatingIfNeeded: product >> 32 & 0x7FFF_FFFF)
    }
}
