import TensorCore

/// Parts of dotted names that others take the place of: wherever `from` stands in a name as whole parts between dots, `to` does
/// instead.
///
/// Names are compared byte by byte. Without `from`, `to` goes before the name; without `to`, what matches is left out, but never all of
/// a name.
package struct SegmentReplacement: Hashable, Sendable {
    private let from: [[UInt8]]
    private let to: [UInt8]

    private static let dot = UInt8(ascii: ".")

    /// Makes a rule; nil when a side has an empty part, or both are empty.
    package init?(from: String, to: String) {
        func parts(of text: String) -> [[UInt8]] { text.isEmpty ? [] : Self.parts(of: text).map(Array.init) }
        guard !(from.isEmpty && to.isEmpty), (parts(of: from) + parts(of: to)).allSatisfy({ !$0.isEmpty }) else {
            return nil
        }
        self.from = parts(of: from)
        self.to = Array(to.utf8)
    }

    package func callAsFunction(_ name: TensorName) -> TensorName {
        guard !from.isEmpty else {
            return TensorName(String(decoding: to + [Self.dot] + name.text.utf8, as: UTF8.self))
        }
        let parts = Self.parts(of: name.text)
        var result: [UInt8] = []
        var isFirst = true
        var hasMatched = false
        func append(_ part: some Collection<UInt8>) {
            if !isFirst { result.append(Self.dot) }
            result += part
            isFirst = false
        }
        var place = 0
        while place < parts.count {
            let end = place + from.count
            if end <= parts.count, zip(parts[place..<end], from).allSatisfy({ $0.elementsEqual($1) }) {
                if !to.isEmpty { append(to) }
                hasMatched = true
                place = end
            } else {
                append(parts[place])
                place += 1
            }
        }
        // Bytes are cut at dots, so that they stay characters.
        return hasMatched && !isFirst ? TensorName(String(decoding: result, as: UTF8.self)) : name
    }

    private static func parts(of text: String) -> [Substring.UTF8View] {
        Substring(text).utf8.split(separator: dot, omittingEmptySubsequences: false)
    }
}
