/// A single value as it is written. What it stands for is up to who reads it: a name that looks like a number is a name.
package struct YAMLScalar: Sendable, Hashable {
    package enum Style: Sendable {
        case plain, singleQuoted, doubleQuoted, literal, folded
    }

    package let text: String
    package let style: Style
    /// The tag where one is written, such as `tag:yaml.org,2002:str` for `!!str`.
    package let tag: String?

    /// Whether the text decides what it is.
    private var isUntyped: Bool { style == .plain && tag != "tag:yaml.org,2002:str" }

    /// An empty value, `~` or `null`.
    package var isNull: Bool {
        isUntyped && ["", "~", "null", "Null", "NULL"].contains(text) || tag == "tag:yaml.org,2002:null"
    }

    /// `<<`, which takes in another mapping.
    package var isMergeKey: Bool { isUntyped && text == "<<" }

    /// The text as a number, in quotes, too: YAML takes `1e-3` for a text, and so do older versions of mergekit.
    package var number: Double? { Double(text) }

    /// The text as true or false, in the words of Python's YAML, in which mergekit's recipes are written.
    package var flag: Bool? {
        switch text.lowercased() {
        case "true", "yes", "on": true
        case "false", "no", "off": false
        default: nil
        }
    }
}
