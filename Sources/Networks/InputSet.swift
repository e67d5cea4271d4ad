/// Inputs of one kind, one after the other.
public enum InputSet: Sendable {
    /// Images in memory.
    case images(ImageSet)
    /// Texts in memory.
    case tokens(TokenSet)
    /// Images that are read when they are needed.
    case stream(ImageStream)

    /// The number of inputs.
    public var count: Int {
        switch self {
        case .images(let images): images.count
        case .tokens(let tokens): tokens.count
        case .stream(let stream): stream.count
        }
    }

    /// The bytes that they are kept in; those of what is read later are not among them.
    package var byteCount: Int {
        switch self {
        case .images(let images): images.byteCount
        case .tokens(let tokens): tokens.byteCount
        case .stream: 0
        }
    }

    /// What so many inputs take beside that while a network works on them.
    package func readByteCount(of rows: Int) -> Int {
        guard case .stream(let stream) = self else { return 0 }
        return stream.byteCount(of: rows)
    }

    /// Chosen inputs in memory, and where each of them lies there.
    ///
    /// - Returns: for a set that is in memory the set itself.
    /// - Throws: what reading them throws.
    package func loaded(_ rows: [Int]) throws -> LoadedInputs {
        guard case .stream(let stream) = self else { return LoadedInputs(inputs: self, rows: rows) }
        return LoadedInputs(inputs: .images(try stream.images(rows)), rows: Array(rows.indices))
    }

    /// At most so many of the inputs, evenly spread over all of them.
    package func spread(atMost limit: Int) -> InputSet {
        switch self {
        case .images(let images): .images(images.spread(atMost: limit))
        case .tokens(let tokens): .tokens(tokens.spread(atMost: limit))
        case .stream(let stream): .stream(stream.spread(atMost: limit))
        }
    }
}

/// Inputs that are in memory, and the rows of them that are meant.
package struct LoadedInputs: Sendable {
    package let inputs: InputSet
    package let rows: [Int]
}
