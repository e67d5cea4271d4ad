/// The normalisation of BERT: control characters, white space, Chinese characters, accents and case.
struct BertNormalizer: Sendable {
    private let cleansText: Bool
    private let spacesChinese: Bool
    private let stripsAccents: Bool
    private let lowercases: Bool

    /// Reads the four switches; accents are stripped with lower case unless the file says otherwise.
    init(_ component: Component) throws(TokenizerError) {
        cleansText = try component.required("clean_text").flag()
        spacesChinese = try component.required("handle_chinese_chars").flag()
        lowercases = try component.required("lowercase").flag()
        stripsAccents = try component["strip_accents"]?.flag() ?? lowercases
    }

    /// Changes a text.
    func apply(to text: inout NormalizedText) {
        if cleansText { text.remove { ScalarClass.of($0).contains(.control) } }
        if cleansText || spacesChinese {
            text.bytes = text.bytes.mappingScalars { scalar, bytes in
                if cleansText, Self.isSpace(scalar) {
                    bytes.append(UInt8(ascii: " "))
                } else if spacesChinese, Self.isChinese(scalar) {
                    bytes.append(UInt8(ascii: " "))
                    UTF8Bytes.append(scalar, to: &bytes)
                    bytes.append(UInt8(ascii: " "))
                } else {
                    UTF8Bytes.append(scalar, to: &bytes)
                }
            }
        }
        if stripsAccents, !text.bytes.isASCII {
            text.bytes = NormalForm.decomposed.applied(to: text.bytes)
            text.remove { ScalarClass.of($0).contains(.accent) }
        }
        if lowercases { text.bytes = text.bytes.mappingScalars { LetterCase.appendLower($0, to: &$1) } }
    }

    private static func isSpace(_ scalar: UInt32) -> Bool { ScalarClass.of(scalar).contains(.whiteSpace) }

    /// The blocks that BERT's authors listed.
    private static func isChinese(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F,
            0x2B920...0x2CEAF, 0xF900...0xFAFF, 0x2F800...0x2FA1F:
            true
        default: false
        }
    }
}
