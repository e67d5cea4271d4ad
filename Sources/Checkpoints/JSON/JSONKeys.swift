import Glibc

/// The keys of one parsed object, compared by their bytes after unescaping.
struct JSONKeys {
    private let text: [UInt8]
    private let nodes: [JSONNode]
    private let object: Int

    init(text: [UInt8], nodes: [JSONNode], object: Int) {
        self.text = text
        self.nodes = nodes
        self.object = object
    }

    /// The first key that stands in the object for the second time.
    ///
    /// - Cost: linear; hashing is seeded per process, so that chosen keys cannot make it slow.
    var firstDuplicate: JSONNode? {
        let end = Int(nodes[object].next)
        var count = 0
        var key = object + 1
        while key < end {
            count += 1
            key = Int(nodes[key + 1].next)
        }
        return count <= 8 ? duplicateAmongFew(end: end) : duplicateAmongMany(end: end, count: count)
    }

    private func duplicateAmongFew(end: Int) -> JSONNode? {
        var key = object + 1
        while key < end {
            var earlier = object + 1
            while earlier < key {
                if areEqual(nodes[earlier], nodes[key]) { return nodes[key] }
                earlier = Int(nodes[earlier + 1].next)
            }
            key = Int(nodes[key + 1].next)
        }
        return nil
    }

    /// An open-addressing table of key positions, at most half full.
    private func duplicateAmongMany(end: Int, count: Int) -> JSONNode? {
        let mask = (count * 2 - 1).nextPowerOfTwo - 1
        var table = [UInt32](repeating: 0, count: mask + 1)
        var key = object + 1
        while key < end {
            var slot = hash(nodes[key]) & mask
            while table[slot] != 0 {
                if areEqual(nodes[Int(table[slot])], nodes[key]) { return nodes[key] }
                slot = (slot + 1) & mask
            }
            table[slot] = UInt32(key)
            key = Int(nodes[key + 1].next)
        }
        return nil
    }

    private func hash(_ key: JSONNode) -> Int {
        var hasher = Hasher()
        withBytes(of: key) { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
        return hasher.finalize()
    }

    private func areEqual(_ a: JSONNode, _ b: JSONNode) -> Bool {
        if !a.hasEscapes, !b.hasEscapes, a.end - a.start != b.end - b.start { return false }
        return withBytes(of: a) { first in
            withBytes(of: b) { second in
                first.count == second.count
                    && (first.isEmpty || memcmp(first.baseAddress!, second.baseAddress!, first.count) == 0)
            }
        }
    }

    private func withBytes<R>(of key: JSONNode, _ body: (UnsafeBufferPointer<UInt8>) -> R) -> R {
        text.withUnsafeBufferPointer { text in
            let raw = UnsafeBufferPointer(rebasing: text[Int(key.start)..<Int(key.end)])
            return key.hasEscapes ? JSONEscapes.decode(raw).withUnsafeBufferPointer(body) : body(raw)
        }
    }
}

extension Int {
    /// The smallest power of two that is larger than the value.
    fileprivate var nextPowerOfTwo: Int { 1 << (Int.bitWidth - leadingZeroBitCount) }
}
