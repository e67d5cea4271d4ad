import CUTF8Proc

/// What the components of tokenizers ask about characters.
struct ScalarClass: OptionSet {
    let rawValue: UInt8

    static let whiteSpace = ScalarClass(rawValue: 1 << 0)
    static let control = ScalarClass(rawValue: 1 << 1)
    static let accent = ScalarClass(rawValue: 1 << 2)
    static let combiningMark = ScalarClass(rawValue: 1 << 3)
    static let punctuation = ScalarClass(rawValue: 1 << 4)
    static let numeral = ScalarClass(rawValue: 1 << 5)
    /// What `\w` of Rust's `regex` matches.
    static let word = ScalarClass(rawValue: 1 << 6)
    /// Normal forms pass it over, and nothing combines across it; see `ScalarTables`.
    static let unknownToNormalForms = ScalarClass(rawValue: 1 << 7)

    /// The classes of a code point; of what is none, none.
    @inline(__always) static func of(_ scalar: UInt32) -> ScalarClass {
        scalar < 0x110000 ? ScalarClass(rawValue: table[Int(scalar)]) : []
    }

    /// A byte for every code point, made once in a few milliseconds.
    static let table: [UInt8] = {
        var table = [UInt8](repeating: 0, count: 0x110000)
        for scalar in 0..<table.count {
            switch utf8proc_category(Int32(scalar)) {
            case UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LL, UTF8PROC_CATEGORY_LT, UTF8PROC_CATEGORY_LM,
                UTF8PROC_CATEGORY_LO, UTF8PROC_CATEGORY_MN, UTF8PROC_CATEGORY_MC, UTF8PROC_CATEGORY_ME,
                UTF8PROC_CATEGORY_PC:
                table[scalar] = word.rawValue
            case UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_NL: table[scalar] = word.rawValue | numeral.rawValue
            case UTF8PROC_CATEGORY_NO: table[scalar] = numeral.rawValue
            default: break
            }
        }
        for (ranges, value) in [
            (ScalarTables.whiteSpace, whiteSpace), (ScalarTables.controls, control), (ScalarTables.accents, accent),
            (ScalarTables.combiningMarks, combiningMark), (ScalarTables.punctuation, punctuation),
            (ScalarTables.newerNumerals, numeral), (ScalarTables.moreWordCharacters, word),
            (ScalarTables.unknownToNormalForms, unknownToNormalForms),
        ] {
            for place in stride(from: 0, to: ranges.count, by: 2) {
                for scalar in ranges[place]...ranges[place + 1] { table[Int(scalar)] |= value.rawValue }
            }
        }
        return table
    }()
}
