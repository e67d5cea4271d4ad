import Checkpoints
import SystemPackage

/// A value of a tokenizer's file together with where it stands, so that every complaint names the place.
struct Component {
    let value: JSONValue
    /// The keys that lead to the value, such as `normalizer.normalizers[2]`.
    let path: String
    let file: FilePath

    /// The value of a key; nil when it is missing or null.
    subscript(key: String) -> Component? {
        guard let value = value[key], !value.isNull else { return nil }
        return Component(value: value, path: path.isEmpty ? key : "\(path).\(key)", file: file)
    }

    /// An error about this value.
    func error(_ kind: TokenizerError.Kind = .badFile, _ problem: String, hint: String? = nil) -> TokenizerError {
        TokenizerError(
            kind, "\(path.isEmpty ? "the file" : path) \(problem)", file: file, byteOffset: value.byteOffset, hint: hint
        )
    }

    /// The value of a key that must be there.
    func required(_ key: String) throws(TokenizerError) -> Component {
        guard value.kind == .object else { throw error(.badFile, "is \(value.kind.phrase) and not an object") }
        guard let component = self[key] else { throw error(.badFile, "lacks \(key)") }
        return component
    }

    private func unexpected(_ wanted: String) -> TokenizerError {
        error(.badFile, "is \(value.kind.phrase) and not \(wanted)")
    }

    /// The text that the value is.
    func string() throws(TokenizerError) -> String {
        guard let string = value.string else { throw unexpected("a string") }
        return string
    }

    /// The bytes of the text that the value is.
    func bytes() throws(TokenizerError) -> [UInt8] { Array(try string().utf8) }

    /// The flag that the value is.
    func flag() throws(TokenizerError) -> Bool {
        guard let flag = value.bool else { throw unexpected("a boolean") }
        return flag
    }

    /// The count that the value is, within what arrays can hold.
    func count() throws(TokenizerError) -> Int {
        guard let count = value.int, (0...Self.countLimit).contains(count) else {
            throw error(
                .badFile, "is \(value.numberText ?? value.kind.phrase) and not an integer from 0 to \(Self.countLimit)")
        }
        return count
    }

    /// The number of a piece.
    func id() throws(TokenizerError) -> Int32 {
        let id = try count()
        guard id < Self.idLimit else {
            throw error(.badFile, "is \(id), and numbers of pieces are below \(Self.idLimit)")
        }
        return Int32(id)
    }

    /// The one character that the value is.
    func scalar() throws(TokenizerError) -> Unicode.Scalar {
        let scalars = try string().unicodeScalars
        guard let scalar = scalars.first, scalars.count == 1 else { throw unexpected("one character") }
        return scalar
    }

    /// The elements of the array that the value is.
    func elements() throws(TokenizerError) -> [Component] {
        guard let elements = value.array else { throw unexpected("an array") }
        return elements.enumerated().map { Component(value: $1, path: "\(path)[\($0)]", file: file) }
    }

    /// What the component calls itself.
    func type() throws(TokenizerError) -> String { try required("type").string() }

    /// One of the values that a text may have.
    func choice<Choice: RawRepresentable & CaseIterable>(
        of kind: Choice.Type
    ) throws(TokenizerError) -> Choice where Choice.RawValue == String {
        let name = try string()
        guard let choice = Choice(rawValue: name) else {
            let known = Choice.allCases.map(\.rawValue).joined(separator: ", ")
            throw error(.unsupported, "is \"\(name)\", which is none of \(known)")
        }
        return choice
    }

    /// No vocabulary is this large; a number beyond is a mistake that would take memory.
    static let idLimit = 1 << 24
    private static let countLimit = Int(Int32.max)
}
