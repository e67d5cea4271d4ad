/// A step that changes a text before it is cut.
indirect enum Normalizer: Sendable {
    case bert(BertNormalizer)
    case lowercase
    case form(NormalForm)
    case nmt
    case strip(left: Bool, right: Bool)
    case stripAccents
    case prepend([UInt8])
    case replace(Pattern, [UInt8])
    case precompiled(CharacterMap)
    case byteLevel
    case sequence([Normalizer])

    /// Reads a normalizer of a tokenizer's file.
    init(_ component: Component) throws(TokenizerError) {
        let type = try component.type()
        if let form = NormalForm(rawValue: type) {
            self = .form(form)
            return
        }
        switch type {
        case "BertNormalizer": self = .bert(try BertNormalizer(component))
        case "Lowercase": self = .lowercase
        case "Nmt": self = .nmt
        case "Strip":
            self = .strip(
                left: try component.required("strip_left").flag(), right: try component.required("strip_right").flag())
        case "StripAccents": self = .stripAccents
        case "Prepend": self = .prepend(try component.required("prepend").bytes())
        case "Replace":
            self = .replace(try Pattern(try component.required("pattern")), try component.required("content").bytes())
        case "Precompiled": self = .precompiled(try CharacterMap(try component.required("precompiled_charsmap")))
        case "ByteLevel": self = .byteLevel
        case "Sequence":
            var steps: [Normalizer] = []
            for step in try component.required("normalizers").elements() { steps.append(try Normalizer(step)) }
            self = .sequence(steps)
        default: throw component.error(.unsupported, "is the normalizer \(type.debugDescription), which is not known")
        }
    }

    /// Changes a text.
    func apply(to text: inout NormalizedText) throws(TokenizerError) {
        switch self {
        case .bert(let normalizer): normalizer.apply(to: &text)
        case .lowercase: text.bytes = text.bytes.mappingScalars { LetterCase.appendLower($0, to: &$1) }
        case .form(let form): text.bytes = form.applied(to: text.bytes)
        case .nmt:
            text.remove(where: Self.isRemovedByNmt)
            text.bytes = text.bytes.mappingScalars { UTF8Bytes.append(Self.isSpaceToNmt($0) ? 0x20 : $0, to: &$1) }
        case .strip(let left, let right): text.strip(left: left, right: right)
        case .stripAccents: text.remove { ScalarClass.of($0).contains(.combiningMark) }
        case .prepend(let prefix): if !text.bytes.isEmpty { text.bytes.insert(contentsOf: prefix, at: 0) }
        case .replace(let pattern, let content): try text.replace(pattern, with: content)
        case .precompiled(let map): text.bytes = map.applied(to: text.bytes)
        case .byteLevel:
            var bytes: [UInt8] = []
            ByteLevel.append(text.bytes, to: &bytes)
            text.bytes = bytes
        case .sequence(let steps): for step in steps { try step.apply(to: &text) }
        }
    }

    private static func isRemovedByNmt(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0x01...0x08, 0x0B, 0x0E...0x1F, 0x7F, 0x8F, 0x9F: true
        default: false
        }
    }

    private static func isSpaceToNmt(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0x09, 0x0A, 0x0C, 0x0D, 0x1680, 0x200B...0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD: true
        default: false
        }
    }
}
