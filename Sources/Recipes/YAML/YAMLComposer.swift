import TensorCore

/// Builds the trees of the documents in a text.
///
/// What aliases name is shared, so a few lines can stand for more values than any memory holds, in more levels than any stack:
/// both are counted while the trees grow.
package struct YAMLComposer {
    /// Values that aliases may add; the longest recipes have some hundred.
    package static let aliasLimit = 100_000
    /// How many sequences and mappings may stand in one another, by way of aliases, too; recipes have less than ten.
    package static let depthLimit = 100

    private let events: YAMLEventReader
    /// Anchors hold across documents, so that those of one file can share parameters.
    private var anchors: [String: Target] = [:]
    private var aliasedCount = 0

    /// A node and what it comes to.
    private struct Value {
        let node: YAMLNode
        /// Scalars, keys, sequences and mappings, those that aliases stand for included.
        let count: Int
        /// How many sequences and mappings stand in one another, itself included.
        let height: Int
    }

    private enum Target {
        /// The anchor of a sequence or mapping that has not ended.
        case unfinished
        case value(Value)
    }

    /// The roots of all documents; that of an empty one is null.
    ///
    /// - Throws: `YAMLError` where the text is no YAML, names a key twice or one that is no text, an alias names nothing or what it
    ///   stands in, or at the value that goes beyond a limit.
    package static func documents(of text: String) throws(YAMLError) -> [YAMLNode] {
        var composer = YAMLComposer(events: try YAMLEventReader(text))
        var documents: [YAMLNode] = []
        while true {
            let (event, position) = try composer.events.next()
            switch event {
            case .textEnd: return documents
            case .boundary: continue
            default: documents.append(try composer.value(event, at: position, depth: 0).node)
            }
        }
    }

    private init(events: YAMLEventReader) { self.events = events }

    /// The value that an event begins.
    ///
    /// - Parameter depth: how many sequences and mappings it stands in.
    private mutating func value(
        _ event: YAMLEvent, at position: TextPosition, depth: Int
    ) throws(YAMLError) -> Value {
        switch event {
        case .alias(let name): return try target(of: name, at: position, depth: depth)
        case .scalar(let scalar, let anchor):
            return end(anchor, Value(node: YAMLNode(.scalar(scalar), at: position), count: 1, height: 0))
        case .sequenceStart(let anchor):
            try begin(anchor, at: position, depth: depth)
            return end(anchor, try sequence(at: position, depth: depth))
        case .mappingStart(let anchor):
            try begin(anchor, at: position, depth: depth)
            return end(anchor, try mapping(at: position, depth: depth))
        case .collectionEnd, .boundary, .textEnd: preconditionFailure("libyaml ends nothing that has not begun")
        }
    }

    private mutating func begin(_ anchor: String?, at position: TextPosition, depth: Int) throws(YAMLError) {
        guard depth < Self.depthLimit else { throw Self.tooDeep(at: position) }
        if let anchor { anchors[anchor] = .unfinished }
    }

    private mutating func end(_ anchor: String?, _ value: Value) -> Value {
        if let anchor { anchors[anchor] = .value(value) }
        return value
    }

    private mutating func sequence(at start: TextPosition, depth: Int) throws(YAMLError) -> Value {
        var nodes: [YAMLNode] = []
        var (count, height) = (1, 1)
        while true {
            let (event, position) = try events.next()
            if case .collectionEnd = event { break }
            let value = try value(event, at: position, depth: depth + 1)
            nodes.append(value.node)
            count += value.count
            height = max(height, 1 + value.height)
        }
        return Value(node: YAMLNode(.sequence(nodes), at: start), count: count, height: height)
    }

    private mutating func mapping(at start: TextPosition, depth: Int) throws(YAMLError) -> Value {
        var entries: [YAMLEntry] = []
        var known: Set<String> = []
        var (count, height) = (1, 1)
        while true {
            let (event, keyPosition) = try events.next()
            if case .collectionEnd = event { break }
            let key = try key(event, at: keyPosition)
            guard known.insert(key.text).inserted else {
                throw Self.twice(event, key, at: keyPosition, first: entries.first { $0.key.text == key.text })
            }
            let (valueEvent, position) = try events.next()
            let value = try value(valueEvent, at: position, depth: depth + 1)
            entries.append(YAMLEntry(key: key, position: keyPosition, value: value.node))
            count += 1 + value.count
            height = max(height, 1 + value.height)
        }
        return Value(node: YAMLNode(.mapping(entries), at: start), count: count, height: height)
    }

    /// A key, refused before anything is read that it might consist of.
    private mutating func key(_ event: YAMLEvent, at position: TextPosition) throws(YAMLError) -> YAMLScalar {
        switch event {
        case .scalar, .alias:
            if let scalar = try value(event, at: position, depth: 0).node.scalar { return scalar }
        default: break
        }
        throw YAMLError(
            "a key is not a text", at: position, hint: "a text that begins with a bracket or a brace needs quotes")
    }

    private mutating func target(
        of alias: String, at position: TextPosition, depth: Int
    ) throws(YAMLError) -> Value {
        switch anchors[alias] {
        case nil:
            throw YAMLError(
                "undefined alias *\(alias)", at: position,
                hint: "write &\(alias) before the value that it names; a text that begins with * needs quotes")
        case .unfinished:
            throw YAMLError(
                "undefined alias *\(alias): it stands in what &\(alias) names, and no value holds itself", at: position)
        case .value(let value):
            aliasedCount += value.count
            guard aliasedCount <= Self.aliasLimit else {
                throw YAMLError(
                    "the aliases up to here stand for more than \(Self.aliasLimit) values", at: position,
                    hint: "write out what is needed")
            }
            guard depth + value.height <= Self.depthLimit else { throw Self.tooDeep(at: position) }
            return value
        }
    }

    private static func tooDeep(at position: TextPosition) -> YAMLError {
        YAMLError("lists and mappings are nested more than \(depthLimit) deep", at: position)
    }

    private static func twice(
        _ event: YAMLEvent, _ key: YAMLScalar, at position: TextPosition, first: YAMLEntry?
    ) -> YAMLError {
        let name = if case .alias(let alias) = event { "*\(alias)" } else { key.text }
        return YAMLError(
            "the key \"\(name)\" appears twice in a mapping"
                + (first.map { ", for the first time on \($0.position)" } ?? ""), at: position)
    }
}
