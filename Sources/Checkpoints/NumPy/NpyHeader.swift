import TensorCore

// A .npy file, numbers in brackets are byte counts:
//
//   \x93 N U M P Y   major[1]   minor[1]   length[2, or 4 from version 2.0 on]   header[length]   data
//
// The header is a Python dictionary as text, Latin-1 before version 3.0 and UTF-8 from then on, with exactly the keys
// `descr` (element type), `fortran_order` and `shape`. Data follows at once, in the order and byte order that it names.

/// What stands before the data of a NumPy array.
struct NpyHeader {
    let element: NpyElement
    let isFortranOrder: Bool
    let shape: Shape
    /// Where the data begins, counted from the array's first byte.
    let byteCount: Int

    static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)
    /// NumPy's own limit for files that it does not trust.
    static let maximumTextByteCount = 10_000
    /// The most that a header of any version can take.
    static let maximumByteCount = 12 + maximumTextByteCount
    /// NumPy's limit since version 2.
    static let maximumRank = 64

    /// Reads a header.
    ///
    /// - Parameter bytes: the array's first bytes; all of it, or at least `maximumByteCount`.
    /// - Throws: `FormatError` with the offset of the first rule that is broken.
    init(_ bytes: UnsafeRawBufferPointer, source: NpySource, options: ReadOptions) throws(FormatError) {
        let text = try Self.text(of: bytes, source)
        byteCount = text.upperBound
        let content = Array(bytes[text])
        let literal: NpyLiteral
        do {
            var parser = NpyLiteralParser(content)
            literal = try parser.parse()
        } catch {
            throw source.error(
                .headerGrammar,
                "has a header that is no NumPy header: expected \(error.expectation) at byte \(error.position) of it",
                at: text.lowerBound + error.position)
        }
        let fields = try Fields(literal, source, at: text.lowerBound)
        element = try NpyElement(fields.descr, source: source, options: options)
        guard case .boolean(let order) = fields.fortranOrder else {
            throw source.error(
                .headerGrammar, "has \(fields.fortranOrder.kind) as \"fortran_order\"; only True and False are allowed",
                at: text.lowerBound)
        }
        isFortranOrder = order
        shape = try Self.shape(fields.shape, source, at: text.lowerBound)
    }

    /// How many bytes are needed to read a header that begins so, at most `maximumByteCount`: what `init` refuses without the
    /// header text needs no more than the fixed part.
    static func byteCount(announcedBy bytes: [UInt8]) -> Int {
        let fixed = 12
        guard bytes.count >= fixed else { return fixed }
        let length = Int(bytes[8]) | Int(bytes[9]) << 8
        if bytes[6] == 1 { return min(10 + length, maximumByteCount) }
        return min(fixed + (length | Int(bytes[10]) << 16 | Int(bytes[11]) << 24), maximumByteCount)
    }

    /// Where the header text lies, from the fixed part before it.
    private static func text(of bytes: UnsafeRawBufferPointer, _ source: NpySource) throws(FormatError) -> Range<Int> {
        if bytes.first == 0x80 {
            throw source.error(
                .objectDtype, "is a Python pickle, which untangle never unpickles", at: 0,
                hint: "save it with numpy.save", isForeign: true)
        }
        guard bytes.prefix(magic.count).elementsEqual(magic.prefix(bytes.count)) else {
            throw source.error(
                .badMagic, "is not in NumPy's .npy format: it does not begin with \\x93NUMPY", at: 0, isForeign: true)
        }
        func truncated(_ needed: Int) -> FormatError {
            source.error(
                .truncated, "needs \(needed) bytes for its header but only \(bytes.count) are there", at: bytes.count,
                hint: "the file is probably cut short; compare its size with the source")
        }
        guard bytes.count >= 8 else { throw truncated(8) }
        let start: Int
        switch (bytes[6], bytes[7]) {
        case (1, 0): start = 10
        case (2, 0), (3, 0): start = 12
        default:
            throw source.error(
                .unsupportedVersion,
                "has version \(bytes[6]).\(bytes[7]) of the .npy format; 1.0, 2.0 and 3.0 are read", at: 6)
        }
        guard bytes.count >= start else { throw truncated(start) }
        var length = 0
        for position in (8..<start).reversed() { length = length << 8 | Int(bytes[position]) }
        guard length <= maximumTextByteCount else {
            throw source.error(
                .headerTooLarge, "has a header of \(length) bytes; at most \(maximumTextByteCount) are read", at: 8)
        }
        guard bytes.count >= start + length else { throw truncated(start + length) }
        let range = start..<start + length
        if bytes[6] == 3, String(validating: bytes[range], as: UTF8.self) == nil {
            throw source.error(.invalidUTF8, "has a header that is not valid UTF-8", at: start)
        }
        return range
    }

    /// The three values of the dictionary.
    private struct Fields {
        let descr, fortranOrder, shape: NpyLiteral

        init(_ literal: NpyLiteral, _ source: NpySource, at start: Int) throws(FormatError) {
            guard case .dictionary(let pairs) = literal else {
                throw source.error(.headerGrammar, "has a header that is \(literal.kind), not a dictionary", at: start)
            }
            var descr, fortranOrder, shape: NpyLiteral?
            func set(_ field: inout NpyLiteral?, _ pair: NpyLiteral.Pair, _ name: String) throws(FormatError) {
                guard field == nil else {
                    throw source.error(.duplicateKey, "has \"\(name)\" twice in its header", at: start + pair.position)
                }
                field = pair.value
            }
            for pair in pairs {
                guard case .text(let key) = pair.key else {
                    throw source.error(
                        .headerGrammar, "has \(pair.key.kind) as a key of its header", at: start + pair.position)
                }
                switch String(decoding: key, as: UTF8.self) {
                case "descr": try set(&descr, pair, "descr")
                case "fortran_order": try set(&fortranOrder, pair, "fortran_order")
                case "shape": try set(&shape, pair, "shape")
                case let other:
                    throw source.error(
                        .headerGrammar, "has the unknown key \"\(other.escapingControlCharacters)\" in its header",
                        at: start + pair.position)
                }
            }
            guard let descr, let fortranOrder, let shape else {
                let missing = descr == nil ? "descr" : fortranOrder == nil ? "fortran_order" : "shape"
                throw source.error(.headerGrammar, "has no \"\(missing)\" in its header", at: start)
            }
            self.descr = descr
            self.fortranOrder = fortranOrder
            self.shape = shape
        }
    }

    private static func shape(_ literal: NpyLiteral, _ source: NpySource, at start: Int) throws(FormatError) -> Shape {
        guard case .tuple(let items) = literal else {
            throw source.error(.badShape, "has \(literal.kind) as its shape, not a tuple", at: start)
        }
        guard items.count <= maximumRank else {
            throw source.error(.badShape, "has \(items.count) dimensions; NumPy allows \(maximumRank)", at: start)
        }
        var dims: [Int] = []
        for item in items {
            guard case .integer(let dim) = item else {
                throw source.error(.badShape, "has \(item.kind) as a dimension", at: start)
            }
            guard let dim else { throw source.error(.overflow, "has a dimension of 2^63 or more", at: start) }
            dims.append(dim)
        }
        return Shape(dims)
    }
}

extension NpyHeader {
    /// The tensor that the array is.
    ///
    /// - Parameters:
    ///   - total: the size of header and data together.
    ///   - isCompressed: whether `total` is only what the container claims; then a surplus is the container's fault.
    /// - Throws: `FormatError` with `overflow`, `truncated`, or `trailing_bytes`.
    func descriptor(
        named name: TensorName, total: Int, isCompressed: Bool, source: NpySource
    ) throws(FormatError) -> TensorDescriptor {
        let descriptor: TensorDescriptor
        do { descriptor = try TensorDescriptor(name: name, dtype: element.dtype, shape: shape) } catch {
            throw source.error(.overflow, "has a size beyond 2^63: shape \(shape) of \(element.dtype.rawValue)")
        }
        let available = total - byteCount
        let found =
            "has shape \(shape) of \(element.dtype.rawValue), which takes \(descriptor.byteCount) bytes, but \(available) "
            + (isCompressed ? "are declared" : "are there")
        if available < descriptor.byteCount {
            throw source.error(
                .truncated, found, at: total, hint: "the file is probably cut short; compare its size with the source")
        }
        if available > descriptor.byteCount {
            throw source.error(
                isCompressed ? .sizeMismatch : .trailingBytes, found, at: byteCount + descriptor.byteCount)
        }
        return descriptor
    }

    /// A line about data whose byte order the file does not state.
    func warning(about name: TensorName) -> Warning? {
        element.hasAssumedOrder
            ? Warning(
                FormatWarning.byteOrder,
                "array \"\(name)\" does not say its byte order; it is read as little-endian") : nil
    }
}
