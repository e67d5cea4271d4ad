import TensorCore

/// A growing piece of HTML or SVG that is also well-formed XML.
///
/// Names of elements and attributes are literals. Every text and every value of an attribute is escaped here, so that none is ever
/// taken as markup; control characters and those that turn the direction of text are shown as `\u{1B}`.
struct Markup {
    private(set) var text = ""

    /// Adds an element without content.
    mutating func add(_ name: StaticString, _ attributes: KeyValuePairs<StaticString, Attribute?> = [:]) {
        open(name, attributes)
        text += "/>\n"
    }

    /// Adds an element with what a closure writes into it.
    mutating func add(
        _ name: StaticString, _ attributes: KeyValuePairs<StaticString, Attribute?> = [:],
        content: (inout Markup) -> Void
    ) {
        open(name, attributes)
        text += ">\n"
        content(&self)
        text += "</\(name)>\n"
    }

    /// Adds an element that holds a text.
    mutating func add(_ name: StaticString, _ words: String) { add(name, [:], words) }

    /// Adds an element that holds a text, on one line.
    mutating func add(
        _ name: StaticString, _ attributes: KeyValuePairs<StaticString, Attribute?>, _ words: String
    ) {
        open(name, attributes)
        text += ">"
        escape(words)
        text += "</\(name)>\n"
    }

    /// Adds an element that holds several lines.
    mutating func add(
        _ name: StaticString, _ attributes: KeyValuePairs<StaticString, Attribute?> = [:], lines: String
    ) {
        open(name, attributes)
        text += ">"
        for (number, line) in lines.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            if number > 0 { text += "\n" }
            escape(String(line))
        }
        text += "</\(name)>\n"
    }

    private mutating func open(_ name: StaticString, _ attributes: KeyValuePairs<StaticString, Attribute?>) {
        text += "<\(name)"
        for (key, value) in attributes {
            guard let value else { continue }
            text += " \(key)=\""
            escape(value.text)
            text += "\""
        }
    }

    private mutating func escape(_ words: String) {
        for scalar in words.escapingControlCharacters.unicodeScalars {
            switch scalar {
            case "&": text += "&amp;"
            case "<": text += "&lt;"
            case ">": text += "&gt;"
            case "\"": text += "&quot;"
            // Characters that XML does not allow.
            case "\u{FFFE}", "\u{FFFF}": text += "\\u{\(String(scalar.value, radix: 16, uppercase: true))}"
            default: text.unicodeScalars.append(scalar)
            }
        }
    }

    /// The value of an attribute; lengths are rounded to a tenth.
    struct Attribute: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByStringInterpolation {
        let text: String

        init(_ text: String) { self.text = text }
        init(_ length: Double) { text = length.length }
        init(stringLiteral text: String) { self.text = text }
        init(integerLiteral number: Int) { text = String(number) }
    }
}

extension Double {
    /// A length in a picture: a tenth of a pixel is finer than anyone sees, and equal on every machine.
    var length: String {
        let text = decimals(1)
        return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
    }
}
