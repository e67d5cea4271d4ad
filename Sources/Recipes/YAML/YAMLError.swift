import CYAML
import TensorCore

/// Why a text is no YAML, or none that is taken.
package struct YAMLError: Error {
    package let problem: String
    package let position: TextPosition
    package let hint: String?

    init(_ problem: String, at position: TextPosition, hint: String? = nil) {
        self.problem = problem
        self.position = position
        self.hint = hint
    }

    static let noMemory = YAMLError("there is no memory to read it", at: TextPosition(line: 1, column: 1))
}

extension YAMLError {
    /// What libyaml says is wrong, and what can be done about it.
    init(of parser: yaml_parser_t, in text: String) {
        guard let reason = parser.problem else {
            self = .noMemory
            return
        }
        let problem = String(cString: reason)
        guard parser.error != YAML_READER_ERROR else {
            let code = String(parser.problem_value, radix: 16, uppercase: true)
            self.init(
                "\(problem), and here is one: U+\(String(repeating: "0", count: max(0, 4 - code.count)))\(code)",
                at: TextPosition(behind: String(decoding: text.utf8.prefix(parser.problem_offset), as: UTF8.self)),
                hint: "remove it, or write it as an escape in double quotes")
            return
        }
        let mark = parser.problem_mark
        let context = parser.context.map { String(cString: $0) } ?? ""
        // Between brackets and in quotes a tab is a space like others.
        if !context.contains("flow"), !context.contains("quoted"), let tab = TextPosition(ofTabBefore: mark, in: text) {
            self.init(
                "a tab in the indentation, and YAML indents with spaces: \(problem)", at: tab,
                hint: "write spaces instead of the tab")
            return
        }
        let character = text.unicodeScalars.dropFirst(mark.index).first
        // libyaml thinks a line break at the end of a text that has none.
        let position = character == nil ? TextPosition(behind: text) : TextPosition(mark)
        let start = parser.context_mark
        let place = context.isEmpty || start.index == mark.index ? "" : " that begins on \(TextPosition(start))"
        self.init(
            problem + (context.isEmpty ? "" : " \(context)") + place, at: position,
            hint: Self.hint(for: problem, context, character))
    }

    /// What to do about a problem in libyaml's words.
    private static func hint(for problem: String, _ context: String, _ character: Unicode.Scalar?) -> String? {
        switch (problem, context) {
        case (_, "while scanning an alias"): "a text that begins with * needs quotes"
        case (_, "while scanning an anchor"): "a text that begins with & needs quotes"
        case (_, "while scanning a tag"), (_, "while parsing a tag"), ("found undefined tag handle", _):
            "a text that begins with ! needs quotes"
        case (_, "while scanning a directive"), (_, "while scanning a %YAML directive"),
            ("found incompatible YAML document", _):
            "leave out the line that begins with %"
        case ("found character that cannot start any token", _):
            character.map { "a text that begins with \($0) needs quotes" }
        case ("did not find expected comment or line break", _): "a text that begins with | or > needs quotes"
        case ("did not find expected node content", _):
            "a value is missing here, or it is a text that needs quotes"
        case ("mapping values are not allowed in this context", _):
            "begin all keys of a mapping in one column, with a space behind each colon, and put a text with \": \" in it "
                + "into quotes"
        case ("could not find expected ':'", _): "a key ends in a colon and a space: key: value"
        case ("did not find expected key", _): "begin all keys of a mapping in one column"
        case ("did not find expected '-' indicator", _): "begin all entries of a list with - in one column"
        case ("block sequence entries are not allowed in this context", _):
            "begin a list on a line of its own, or write it as [a, b]"
        case ("did not find expected ',' or ']'", _): "put commas between the values of a list, and ] at its end"
        case ("did not find expected ',' or '}'", _): "put commas between the entries of a mapping, and } at its end"
        case ("found unexpected end of stream", "while scanning a quoted scalar"):
            "end the text with the quote that it begins with"
        case ("found unknown escape character", _), ("did not find expected hexdecimal number", _),
            ("found invalid Unicode character escape code", _):
            "write a backslash in double quotes as two, or use single quotes"
        case ("did not find expected <document start>", _):
            "what stands here follows the end of the document; another one begins with a line of ---"
        default: nil
        }
    }
}

extension TextPosition {
    /// The place that follows a text.
    init(behind text: String) {
        let lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false)
        self.init(line: lines.count, column: (lines.last?.count ?? 0) + 1)
    }

    /// The first tab of the white space with which a line begins, or at the mark itself; nil without one.
    fileprivate init?(ofTabBefore mark: yaml_mark_t, in text: String) {
        let line = text.unicodeScalars.dropFirst(max(0, mark.index - mark.column))
        let indentation = line.prefix { $0 == " " || $0 == "\t" }
        let isAtMark = line.dropFirst(mark.column).first == "\t"
        let column = indentation.enumerated().first { $0.element == "\t" }?.offset ?? (isAtMark ? mark.column : nil)
        guard let column else { return nil }
        self.init(line: mark.line + 1, column: column + 1)
    }
}
