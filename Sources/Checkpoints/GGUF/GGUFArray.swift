/// Values of one kind in the metadata of a GGUF file, such as the tokens of a vocabulary; kept as they are stored.
public struct GGUFArray: Sendable, Hashable {
    public let kind: GGUFValue.Kind
    public let count: Int
    /// The elements one behind the other, as in the file.
    let content: [UInt8]

    /// Takes elements that were checked one by one.
    init(kind: GGUFValue.Kind, count: Int, checkedContent content: [UInt8]) {
        self.kind = kind
        self.count = count
        self.content = content
    }

    /// Takes values.
    ///
    /// - Precondition: all are of that kind.
    public init(_ kind: GGUFValue.Kind, _ values: some Collection<GGUFValue>) {
        var bytes = GGUFBytes()
        for value in values {
            precondition(value.kind == kind, "an array has values of one kind")
            bytes.append(value)
        }
        self.init(kind: kind, count: values.count, checkedContent: bytes.content)
    }

    /// The first elements.
    public func prefix(_ limit: Int) -> [GGUFValue] {
        content.withUnsafeBytes { content in
            var fields = GGUFFields(content)
            var values: [GGUFValue] = []
            while values.count < min(limit, count), let value = try? fields.takeValue(of: kind) { values.append(value) }
            return values
        }
    }

    /// All elements.
    public var values: [GGUFValue] { prefix(count) }
}

extension GGUFArray: CustomStringConvertible {
    /// The elements that are shown of a long array.
    private static let shownCount = 6

    public var description: String {
        let shown = prefix(count > Self.shownCount + 2 ? Self.shownCount : count).map { value in
            value.string.map { "\"\($0)\"" } ?? value.description
        }
        let rest = count > shown.count ? ", ... \(count) in all" : ""
        return "[" + shown.joined(separator: ", ") + rest + "]"
    }
}
