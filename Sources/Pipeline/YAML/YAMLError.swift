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
    /// What libyaml says is wrong.
    init(of parser: yaml_parser_t, in text: String) {
        guard let reason = parser.problem else {
            self = .noMemory
            return
        }
        let problem = String(cString: reason)
        guard parser.error != YAML_READER_ERROR else {
            self.init(
                problem,
                at: TextPosition(behind: String(decoding: text.utf8.prefix(parser.problem_offset), as: UTF8.self)))
            return
        }
        let mark = parser.problem_mark
        let context = parser.context.map { String(cString: $0) } ?? ""
        // libyaml thinks a line break at the end of a text that has none.
        let isAtEnd = text.unicodeScalars.dropFirst(mark.index).isEmpty
        let position = isAtEnd ? TextPosition(behind: text) : TextPosition(mark)
        let start = parser.context_mark
        let place = context.isEmpty || start.index == mark.index ? "" : " that begins on \(TextPosition(start))"
        self.init(problem + (context.isEmpty ? "" : " \(context)") + place, at: position)
    }
}

extension TextPosition {
    /// The place that follows a text.
    init(behind text: String) {
        let lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false)
        self.init(line: lines.count, column: (lines.last?.count ?? 0) + 1)
    }
}
