/// A step that cuts a normalised text into the parts that the model sees one by one.
indirect enum PreTokenizer: Sendable {
    case bert
    case byteLevel(addsPrefixSpace: Bool, splits: Bool)
    case whitespace
    case whitespaceSplit
    case punctuation(SplitBehavior)
    case digits(isolated: Bool)
    case metaspace(Metaspace)
    case split(Pattern, SplitBehavior, inverted: Bool)
    case delimiter(UInt32)
    case fixedLength(Int)
    case sequence([PreTokenizer])

    /// Reads a pre-tokenizer of a tokenizer's file.
    init(_ component: Component) throws(TokenizerError) {
        switch try component.type() {
        case "BertPreTokenizer": self = .bert
        case "ByteLevel":
            self = .byteLevel(
                addsPrefixSpace: try component.required("add_prefix_space").flag(),
                splits: try component["use_regex"]?.flag() ?? true)
        case "Whitespace": self = .whitespace
        case "WhitespaceSplit": self = .whitespaceSplit
        case "Punctuation":
            self = .punctuation(try component["behavior"]?.choice(of: SplitBehavior.self) ?? .isolated)
        case "Digits": self = .digits(isolated: try component.required("individual_digits").flag())
        case "Metaspace": self = .metaspace(try Metaspace(component))
        case "Split":
            self = .split(
                try Pattern(try component.required("pattern")),
                try component.required("behavior").choice(of: SplitBehavior.self),
                inverted: try component.required("invert").flag())
        case "CharDelimiterSplit": self = .delimiter(try component.required("delimiter").scalar().value)
        case "FixedLength":
            let length = try component["length"]?.count() ?? 5
            guard length > 0 else { throw component.error(.badFile, "has parts of length 0") }
            self = .fixedLength(length)
        case "Sequence":
            var steps: [PreTokenizer] = []
            for step in try component.required("pretokenizers").elements() { steps.append(try PreTokenizer(step)) }
            self = .sequence(steps)
        case let type:
            throw component.error(.unsupported, "is the pre-tokenizer \(type.debugDescription), which is not known")
        }
    }

    /// Cuts all parts of a text that are not tokens already.
    func apply(to segments: inout Segments) throws(TokenizerError) {
        switch self {
        case .bert:
            try segments.split(.removed, at: Self.characters(of: .whiteSpace))
            try segments.split(.isolated, at: Self.characters(of: .punctuation))
        case .byteLevel(let addsPrefixSpace, let splits):
            if addsPrefixSpace {
                segments.rewrite { text, _, bytes in
                    if text.first != UInt8(ascii: " ") { bytes.append(UInt8(ascii: " ")) }
                    bytes.append(contentsOf: text)
                }
            }
            if splits {
                let expression = ByteLevel.expression
                try segments.split(.isolated) { (text, matches) throws(TokenizerError) in
                    try expression.match(text, into: &matches)
                }
            }
            segments.rewrite { text, _, bytes in ByteLevel.append(text, to: &bytes) }
        case .whitespace: try segments.split(.removed, inverted: true, at: Self.wordsAndSymbols)
        case .whitespaceSplit: try segments.split(.removed, at: Self.characters(of: .whiteSpace))
        case .punctuation(let behavior): try segments.split(behavior, at: Self.characters(of: .punctuation))
        case .digits(let isolated):
            try segments.split(isolated ? .isolated : .contiguous, at: Self.characters(of: .numeral))
        case .metaspace(let metaspace): try metaspace.apply(to: &segments)
        case .split(let pattern, let behavior, let inverted):
            try segments.split(behavior, inverted: inverted) { (text, matches) throws(TokenizerError) in
                try pattern.match(text, into: &matches)
            }
        case .delimiter(let delimiter): try segments.split(.removed, at: Self.characters { $0 == delimiter })
        case .fixedLength(let length):
            try segments.split(.isolated) { (text, matches) throws(TokenizerError) in
                var position = 0
                while position < text.count {
                    let start = position
                    for _ in 0..<length where position < text.count {
                        position += UTF8Bytes.scalar(text, at: position).1
                    }
                    matches.append(Match(start: start, end: position, isMatch: true))
                }
            }
        case .sequence(let steps): for step in steps { try step.apply(to: &segments) }
        }
    }

    /// Each character of a class is a match.
    @inline(__always) private static func characters(
        of kind: ScalarClass
    ) -> (UnsafeBufferPointer<UInt8>, inout [Match]) throws(TokenizerError) -> Void {
        characters { !ScalarClass.of($0).isDisjoint(with: kind) }
    }

    /// Each character that is wanted is a match.
    @inline(__always) private static func characters(
        where isWanted: @escaping (UInt32) -> Bool
    ) -> (UnsafeBufferPointer<UInt8>, inout [Match]) throws(TokenizerError) -> Void {
        { (text, matches) throws(TokenizerError) in
            var previous = 0
            var position = 0
            while position < text.count {
                let (scalar, length) = UTF8Bytes.scalar(text, at: position)
                if isWanted(scalar) {
                    matches.append(from: previous, to: position, end: position + length)
                    previous = position + length
                }
                position += length
            }
            matches.finish(from: previous, to: text.count)
        }
    }

    /// Runs of letters and numerals are matches, and runs of what is neither that nor white space.
    private static func wordsAndSymbols(
        _ text: UnsafeBufferPointer<UInt8>, _ matches: inout [Match]
    ) throws(TokenizerError) {
        var previous = 0
        var position = 0
        while position < text.count {
            let (scalar, length) = UTF8Bytes.scalar(text, at: position)
            let kind = ScalarClass.of(scalar).intersection([.word, .whiteSpace])
            guard !kind.contains(.whiteSpace) else {
                position += length
                continue
            }
            let start = position
            position += length
            while position < text.count {
                let (scalar, length) = UTF8Bytes.scalar(text, at: position)
                guard ScalarClass.of(scalar).intersection([.word, .whiteSpace]) == kind else { break }
                position += length
            }
            matches.append(from: previous, to: start, end: position)
            previous = position
        }
        matches.finish(from: previous, to: text.count)
    }
}
