import SystemPackage

/// A parameter of a merge method: the one place that validation, `--list-methods` and the documentation read.
public struct ParameterSpec: Sendable, Hashable {
    public let name: String
    public let kind: Kind
    /// The value when nothing is said.
    public let defaultValue: ParameterValue
    /// Numbers outside are refused; nil accepts any finite number.
    public let range: ClosedRange<Double>?
    /// Whether each expert may have a value of its own.
    public let isPerExpert: Bool
    /// One sentence for people.
    public let help: String

    public enum Kind: Sendable, Hashable {
        case number
        case wholeNumber
        case flag
        case choice([String])
        /// A number, or a word for one that is chosen for each tensor.
        case numberOr(String)
        /// Shell patterns of tensor names.
        case patterns
        /// A file or folder, relative to the working directory.
        case path

        /// The kind in words.
        public var name: String {
            switch self {
            case .number: "number"
            case .wholeNumber: "whole number"
            case .flag: "flag"
            case .choice: "choice"
            case .numberOr: "number or word"
            case .patterns: "patterns"
            case .path: "path"
            }
        }
    }

    init(
        _ name: String, _ kind: Kind, default defaultValue: ParameterValue, range: ClosedRange<Double>? = nil,
        perExpert isPerExpert: Bool, help: String
    ) {
        self.name = name
        self.kind = kind
        self.defaultValue = defaultValue
        self.range = range
        self.isPerExpert = isPerExpert
        self.help = help
    }

    /// The same parameter with what is not nil in place of its own.
    func with(
        default defaultValue: ParameterValue? = nil, range: ClosedRange<Double>? = nil, help: String? = nil
    ) -> ParameterSpec {
        ParameterSpec(
            name, kind, default: defaultValue ?? self.defaultValue, range: range ?? self.range,
            perExpert: isPerExpert, help: help ?? self.help)
    }

    /// The value as this parameter takes it, with numbers for flags where the text of a recipe has 0 and 1.
    package func accept(_ value: ParameterValue) throws(MergeError) -> ParameterValue {
        switch (kind, value) {
        case (.numberOr(let word), .text(let text)) where text == word: return value
        case (.number, .number(let number)), (.numberOr, .number(let number)):
            // Beyond F32 a factor is infinite in most arithmetic.
            let isFinite = abs(number) <= Double(Float.greatestFiniteMagnitude)
            guard isFinite, range?.contains(number) ?? true else { throw refusal(of: value) }
            return value
        case (.wholeNumber, .number(let number)):
            guard Int(exactly: number) != nil, range?.contains(number) ?? true else { throw refusal(of: value) }
            return value
        case (.flag, .flag): return value
        case (.flag, .number(0)): return .flag(false)
        case (.flag, .number(1)): return .flag(true)
        case (.choice(let choices), .text(let text)) where choices.contains(text): return value
        case (.path, .text): return value
        case (.patterns, .text): return .list([value])
        case (.patterns, .list(let values)):
            for case let element in values {
                guard case .text = element else { throw refusal(of: value) }
            }
            return value
        default: throw refusal(of: value)
        }
    }

    /// What the parameter takes, in words.
    public var expectation: String {
        switch kind {
        case .number: "a number" + bounds
        case .wholeNumber: "a whole number" + bounds
        case .flag: "true or false"
        case .choice(let choices): choices.joined(separator: " or ")
        case .numberOr(let word): "a number\(bounds) or \(word)"
        case .patterns: "tensor name patterns"
        case .path: "a path"
        }
    }

    private var bounds: String {
        guard let range else { return "" }
        return range.upperBound >= 0x1p53
            ? " of at least \(brief(range.lowerBound))"
            : " from \(brief(range.lowerBound)) to \(brief(range.upperBound))"
    }

    /// Whether the method cannot do without a value; `defaultValue` then stands for none.
    public var isRequired: Bool { kind == .path }

    /// The default in words.
    public var defaultText: String { isRequired ? "required" : defaultValue.argument }

    private func refusal(of value: ParameterValue) -> MergeError {
        MergeError(.badParameter, "parameter \"\(name)\" takes \(expectation), not \(value)", parameter: name)
    }
}

/// The value of a parameter as a recipe or the command line states it.
public enum ParameterValue: Sendable, Hashable, CustomStringConvertible {
    case number(Double)
    case flag(Bool)
    case text(String)
    case list([ParameterValue])

    public var description: String {
        switch self {
        case .number(let number): brief(number)
        case .flag(let flag): flag ? "true" : "false"
        case .text(let text): "\"\(text)\""
        case .list(let values): "[" + values.map(\.description).joined(separator: ", ") + "]"
        }
    }

    /// The value as it follows `=` on the command line.
    package var argument: String {
        switch self {
        case .text(let text): text
        case .list(let values): values.map(\.argument).joined(separator: ",")
        case .number, .flag: description
        }
    }

    /// Reads what follows `=` on the command line: numbers, `true` and `false`, lists with commas, otherwise text. A list may
    /// stand in brackets, as in recipes; brackets without a comma, and several, belong to patterns.
    public init(parsing text: String) {
        let inside = text.dropFirst().dropLast()
        if text.hasPrefix("["), text.hasSuffix("]"), inside.contains(","),
            !inside.contains(where: { "[]".contains($0) })
        {
            self.init(parsing: String(inside))
            return
        }
        let parts = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 1 else {
            self = .list(parts.map { ParameterValue(parsing: $0) })
            return
        }
        let trimmed = String(text.drop { $0 == " " })
        self =
            switch trimmed {
            case "true": .flag(true)
            case "false": .flag(false)
            default: Double(trimmed).map { .number($0) } ?? .text(trimmed)
            }
    }
}

/// A number without the fraction that it does not have.
func brief(_ number: Double) -> String {
    if let whole = Int(exactly: number), abs(whole) < 1 << 53 { String(whole) } else { "\(number)" }
}

extension ParameterValue: Encodable {
    /// Encodes a value as what it is.
    ///
    /// - Throws: what the encoder throws.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .number(let number): try container.encode(number)
        case .flag(let flag): try container.encode(flag)
        case .text(let text): try container.encode(text)
        case .list(let values): try container.encode(values)
        }
    }
}
