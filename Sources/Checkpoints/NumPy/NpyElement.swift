import TensorCore

/// The element type that a `descr` of NumPy stands for.
struct NpyElement: Equatable {
    let dtype: DType
    let isBigEndian: Bool
    /// Whether the order was left to the machine; such data is taken as little-endian.
    let hasAssumedOrder: Bool

    /// Reads a `descr`.
    ///
    /// - Throws: `FormatError` with `bad_descr`, `object_dtype`, `structured_dtype` or `unsupported_dtype`.
    init(_ descr: NpyLiteral, source: NpySource, options: ReadOptions) throws(FormatError) {
        switch descr {
        case .text(let text): try self.init(text: text, source: source, options: options)
        case .list, .tuple, .dictionary:
            if Self.containsObject(descr) { throw Self.objectError(source) }
            throw source.error(
                .structuredDtype, "has a structured element type, which no tensor can hold",
                hint: "save its fields as separate arrays", isForeign: true)
        default:
            throw source.error(.badDescr, "has \(descr.kind) as its element type (\"descr\")", isForeign: true)
        }
    }

    private init(text: [UInt8], source: NpySource, options: ReadOptions) throws(FormatError) {
        let shown = String(decoding: text, as: UTF8.self).escapingControlCharacters
        let malformed = source.error(
            .badDescr, "has the element type (\"descr\") '\(shown)', which names no NumPy type", isForeign: true)
        if Self.isObject(text) { throw Self.objectError(source) }
        var rest = text[...]
        guard let order = rest.popFirst(), "<>|=".utf8.contains(order), let kind = rest.popFirst() else {
            throw malformed
        }
        let unsupported = source.error(
            .unsupportedDtype, "has the element type (\"descr\") '\(shown)', which no tensor can hold",
            hint: "convert it in NumPy first, for example with .astype(numpy.float32)", isForeign: true)
        if "USMm".utf8.contains(kind) { throw unsupported }
        guard let size = Self.size(rest) else { throw malformed }

        let known: DType
        if let type = Self.types["\(Character(Unicode.Scalar(kind)))\(size)"] {
            known = type
        } else if let element = Self.untypedElement(kind, size) {
            known = try Self.untyped(element, order, shown, source, options)
        } else if "buifcV".utf8.contains(kind) {
            throw unsupported
        } else {
            throw malformed
        }
        dtype = known
        isBigEndian = order == UInt8(ascii: ">") && known.scalarByteCount > 1
        hasAssumedOrder =
            (order == UInt8(ascii: "=") || order == UInt8(ascii: "|")) && known.scalarByteCount > 1
            && kind != UInt8(ascii: "V")
    }

    /// The type of elements that the ml_dtypes package saved without it. They are probably weights: never passed over in silence.
    private static func untyped(
        _ element: VoidTypes.Element, _ order: UInt8, _ shown: String, _ source: NpySource, _ options: ReadOptions
    ) throws(FormatError) -> DType {
        let found =
            "has the element type (\"descr\") '\(shown)', raw \(element == .v2 ? "pairs of bytes" : "bytes") whose meaning NumPy lost"
        guard let named = options.npyVoid[element] else {
            let likely: DType =
                switch element {
                case .v1: .f8E4M3
                case .v2: .bf16
                case .f1: .f8E5M2
                }
            throw source.error(
                .unsupportedDtype, found,
                hint: "if you know the type, name it, for example `--npy-void \(element.rawValue)=\(likely.rawValue)`")
        }
        guard order != UInt8(ascii: ">") else {
            throw source.error(
                .unsupportedDtype, "\(found), and in big-endian order, which `--npy-void` does not read")
        }
        guard element != .f1 || named == .f8E5M2 else {
            throw source.error(
                .unsupportedDtype, "\(found); only F8_E5M2 is saved so, and `--npy-void` says \(named.rawValue)",
                hint: "use `--npy-void f1=F8_E5M2`")
        }
        return named
    }

    /// The types of NumPy by their `descr` without the order.
    private static let types = [String: DType](
        uniqueKeysWithValues: DType.allCases.compactMap { type in type.numPyDescr.map { (String($0.dropFirst()), type) }
        })

    private static func untypedElement(_ kind: UInt8, _ size: Int) -> VoidTypes.Element? {
        switch (kind, size) {
        case (UInt8(ascii: "V"), 1): .v1
        case (UInt8(ascii: "V"), 2): .v2
        case (UInt8(ascii: "f"), 1): .f1
        default: nil
        }
    }

    private static func size(_ digits: ArraySlice<UInt8>) -> Int? {
        guard !digits.isEmpty, digits.count <= 9, digits.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return Int(String(decoding: digits, as: UTF8.self))
    }

    /// `O` with an optional order before it and an optional size behind.
    private static func isObject(_ text: [UInt8]) -> Bool {
        let rest = text.first.map("<>|=".utf8.contains) == true ? text[1...] : text[...]
        return rest.first == UInt8(ascii: "O") && rest.dropFirst().allSatisfy { (0x30...0x39).contains($0) }
    }

    /// Whether any field of a structured type is an object. Depth is bounded by the parser.
    private static func containsObject(_ literal: NpyLiteral) -> Bool {
        switch literal {
        case .text(let text): isObject(text)
        case .list(let fields):
            // Fields are (name, type) or (name, type, shape): a field that is called "O" is no object.
            fields.contains { field in
                if case .tuple(let parts) = field {
                    parts.count > 1 && containsObject(parts[1])
                } else {
                    containsObject(field)
                }
            }
        case .tuple(let parts): parts.contains(where: containsObject)
        case .dictionary(let pairs): pairs.contains { containsObject($0.value) }
        default: false
        }
    }

    private static func objectError(_ source: NpySource) -> FormatError {
        source.error(
            .objectDtype, "holds Python objects, which only unpickling could read and untangle never does",
            hint: "save plain numeric arrays instead", isForeign: true)
    }
}
