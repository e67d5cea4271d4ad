import Checkpoints
import SystemPackage
import TensorCore

/// Takes the text and the class out of the lines of a file.
struct LineReader {
    private let path: FilePath
    private let format: TextFile.Format
    /// The name of the field that has the text, where the user says one.
    private let field: String?
    /// Where text and class stand in a table; nil until the first line was seen.
    private var columns: (text: Int, label: Int?, count: Int)?

    init(path: FilePath, format: TextFile.Format, field: String?) {
        (self.path, self.format, self.field) = (path, format, field)
    }

    /// Reads a line.
    ///
    /// - Returns: nil for an empty line and for a heading.
    /// - Throws: `input.bad_text`.
    mutating func read(
        _ bytes: UnsafeRawBufferPointer, number: Int, byteOffset: Int
    ) throws(InputError) -> TextFile.Line? {
        guard bytes.contains(where: { $0 != 0x20 && $0 != 0x09 }) else { return nil }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            let place = firstInvalidByte(of: bytes)
            throw InputError(
                .badText, "line \(number) of \(path.string) is not UTF-8 from its byte \(place) on", file: path,
                byteOffset: byteOffset + place, position: TextPosition(line: number, column: 1),
                hint: "convert it with `iconv -t utf-8`, or leave such lines out with --skip-bad")
        }
        switch format {
        case .plain: return TextFile.Line(text: text, label: nil, number: number)
        case .table: return try row(text, number)
        case .json: return try object(bytes, number, byteOffset)
        }
    }

    private func bad(_ number: Int, _ what: String, hint: String? = nil) -> InputError {
        InputError(
            .badText, "line \(number) of \(path.string) \(what)", file: path,
            position: TextPosition(line: number, column: 1), hint: hint)
    }

    private static let labelNames = ["label", "labels", "class"]

    private mutating func row(_ line: String, _ number: Int) throws(InputError) -> TextFile.Line? {
        let cells = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
        guard let columns else {
            let label = cells.firstIndex { Self.labelNames.contains($0) }
            // A heading names the column of the text. In two columns without the name of a class, "text" behind a tab is a text.
            if let text = cells.firstIndex(of: field ?? "text")
                ?? (field == nil ? cells.firstIndex(of: "sentence") : nil),
                field != nil || label != nil || text == 0
            {
                columns = (text, label, cells.count)
                return nil
            }
            guard cells.count == 2, label == nil else {
                let names = cells.prefix(20).joined(separator: ", ")
                throw bad(
                    number,
                    field.map { "is a heading without \"\($0)\"" }
                        ?? "has \(cells.count) columns, and a class, a tab and a text are needed",
                    hint: "where it is a heading, --text-field names the column of the text; the columns are \(names)")
            }
            columns = (1, 0, 2)
            return TextFile.Line(text: cells[1], label: cells[0], number: number)
        }
        guard cells.count == columns.count else {
            throw bad(number, "has \(cells.count) columns, and lines before it have \(columns.count)")
        }
        return TextFile.Line(text: cells[columns.text], label: columns.label.map { cells[$0] }, number: number)
    }

    private func object(
        _ bytes: UnsafeRawBufferPointer, _ number: Int, _ byteOffset: Int
    ) throws(InputError) -> TextFile.Line {
        let value: JSONValue
        do throws(FormatError) { value = try JSONDocument.parse(Array(bytes), file: path, base: byteOffset) } catch {
            throw InputError(
                .badText, "line \(number) of \(path.string) is no JSON: \(error.message)", file: path,
                byteOffset: error.byteOffset.flatMap { Int(exactly: $0) },
                position: TextPosition(line: number, column: 1), hint: error.hint)
        }
        guard let members = value.object else { throw bad(number, "is no JSON object") }
        let name = field ?? "text"
        guard let text = value[name]?.string else {
            throw bad(
                number, "has no text \"\(name)\"",
                hint:
                    "name the field with --text-field; there are \(members.map(\.key).prefix(20).joined(separator: ", "))"
            )
        }
        let label = Self.labelNames.lazy.compactMap { value[$0] }.first { !$0.isNull }
        return TextFile.Line(text: text, label: label.flatMap { $0.string ?? $0.numberText }, number: number)
    }

    /// Where the first byte is that belongs to no character.
    private func firstInvalidByte(of bytes: UnsafeRawBufferPointer) -> Int {
        var (decoder, iterator, place) = (UTF8(), bytes.makeIterator(), 0)
        while true {
            switch decoder.decode(&iterator) {
            case .scalarValue(let scalar): place += UTF8.width(scalar)
            case .emptyInput, .error: return place
            }
        }
    }
}
