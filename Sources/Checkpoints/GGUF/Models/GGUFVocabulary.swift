import SystemPackage
import TensorCore

/// The tokenizer of a model folder as the metadata of a GGUF file: byte-level BPE, as Llama 3 and Qwen have it.
///
/// Source: `get_vocab_base` and `_set_vocab_gpt2` of `conversion/base.py`, and `SpecialVocab` of gguf-py.
struct GGUFVocabulary {
    private(set) var metadata = GGUFMetadata()
    private let tokenizer: JSONValue
    private let settings: JSONValue?
    private let config: JSONValue

    private enum TokenKind: Int32 {
        case normal = 1
        case control = 3
        case userDefined = 4
        case unused = 5
    }

    /// A vocabulary has at most as many tokens, so that a wrong size asks for no more.
    private static let sizeLimit = 10_000_000

    /// Carries a tokenizer over; nil for other kinds, and for ones whose way of splitting texts llama.cpp has no known name for.
    ///
    /// - Parameters:
    ///   - tokenizer: the contents of `tokenizer.json`.
    ///   - settings: the contents of `tokenizer_config.json`.
    ///   - template: the contents of `chat_template.jinja`, which goes behind the template of the settings.
    init?(tokenizer: JSONValue, settings: JSONValue?, config: JSONValue, template: String?) {
        guard tokenizer["model"]?["type"]?.string == "BPE", tokenizer["model"]?["byte_fallback"]?.bool != true,
            tokenizer["decoder"]?["type"]?.string == "ByteLevel", let splitting = Self.splitting(of: tokenizer),
            let vocabulary = tokenizer["model"]?["vocab"]?.object
        else { return nil }
        self.tokenizer = tokenizer
        self.settings = settings
        self.config = config
        metadata["tokenizer.ggml.model"] = .string("gpt2")
        metadata["tokenizer.ggml.pre"] = .string(splitting)
        guard setTokens(vocabulary), setMerges() else { return nil }
        setSpecialTokens()
        if let text = settings?["chat_template"]?.string ?? template {
            metadata["tokenizer.chat_template"] = .string(text)
        }
    }

    /// What llama.cpp calls the expression that a tokenizer splits texts by; nil for unknown ones.
    private static func splitting(of tokenizer: JSONValue) -> String? {
        let steps = tokenizer["pre_tokenizer"]?["pretokenizers"]?.array.map(Array.init)
        guard let steps else { return tokenizer["pre_tokenizer"]?["type"]?.string == "ByteLevel" ? "gpt-2" : nil }
        let expressions = steps.filter { $0["type"]?.string == "Split" }.compactMap { $0["pattern"]?["Regex"]?.string }
        guard expressions.count == 1, let expression = expressions.first else { return nil }
        return names[expression]
    }

    /// Source: `llm_tokenizer_bpe` of `llama-vocab.cpp`, which lists the models that have each expression.
    private static let names = [
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#:
            "llama-bpe",
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#:
            "qwen2",
    ]

    /// The tokens by number, with what each is for; false when their numbers do not fit the model.
    private mutating func setTokens(_ vocabulary: JSONMembers) -> Bool {
        var numbered: [(text: String, number: Int, kind: TokenKind)] = []
        for member in vocabulary {
            guard let number = member.value.int else { return false }
            numbered.append((member.key, number, .normal))
        }
        for token in tokenizer["added_tokens"]?.array.map(Array.init) ?? [] {
            guard let text = token["content"]?.string, let number = token["id"]?.int else { return false }
            if token["special"]?.bool == true || Self.looksSpecial(text) {
                numbered.append((text, number, .control))
            } else {
                numbered.append((Self.withPlainSpaces(text), number, .userDefined))
            }
        }
        let size = config["vocab_size"]?.int ?? ((numbered.map(\.number).max() ?? -1) + 1)
        guard (1...Self.sizeLimit).contains(size) else { return false }
        var texts = (0..<size).map { GGUFValue.string("[PAD\($0)]") }
        var kinds = [GGUFValue](repeating: .int32(TokenKind.unused.rawValue), count: size)
        for token in numbered {
            guard texts.indices.contains(token.number) else { return false }
            texts[token.number] = .string(token.text)
            kinds[token.number] = .int32(token.kind.rawValue)
        }
        metadata["tokenizer.ggml.tokens"] = .array(GGUFArray(.string, texts))
        metadata["tokenizer.ggml.token_type"] = .array(GGUFArray(.int32, kinds))
        return true
    }

    /// Tokens that models should have marked as special.
    private static func looksSpecial(_ text: String) -> Bool {
        ["<pad>", "<mask>", "<2mass>", "[@BOS@]"].contains(text) || text.hasPrefix("<|") && text.hasSuffix("|>")
            || text.hasPrefix("<\u{FF5C}") && text.hasSuffix("\u{FF5C}>")
            || text.hasPrefix("<unused") && text.hasSuffix(">")
    }

    private static func withPlainSpaces(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.map { $0 == "\u{2581}" ? " " : $0 }))
    }

    /// The merges, each as one text; false when one is no pair.
    private mutating func setMerges() -> Bool {
        var merges: [GGUFValue] = []
        for merge in tokenizer["model"]?["merges"]?.array.map(Array.init) ?? [] {
            if let text = merge.string {
                merges.append(.string(text))
            } else if let pair = merge.array.map({ $0.compactMap(\.string) }), pair.count == 2 {
                // A space parts the two, so one inside stands as the byte-level alphabet writes it.
                merges.append(.string(pair.map(Self.withWrittenSpaces).joined(separator: " ")))
            } else {
                return false
            }
        }
        metadata["tokenizer.ggml.merges"] = .array(GGUFArray(.string, merges))
        return true
    }

    private static func withWrittenSpaces(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.map { $0 == " " ? "\u{120}" : $0 }))
    }

    /// What the roles are called in settings and in GGUF.
    private static let roles = [
        ("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("sep", "seperator"), ("pad", "padding"), ("cls", "cls"),
        ("mask", "mask"),
    ]

    private mutating func setSpecialTokens() {
        let added = tokenizer["added_tokens"]?.array.map(Array.init) ?? []
        func text(of role: String) -> String? {
            let entry = settings?["\(role)_token"]
            return entry?.string ?? entry?["content"]?.string
        }
        for (role, key) in Self.roles {
            let named = text(of: role).flatMap { text in added.first { $0["content"]?.string == text }?["id"]?.int }
            let number = (named ?? config["\(role)_token_id"]?.int).flatMap(UInt32.init(exactly:))
            if let number { metadata["tokenizer.ggml.\(key)_token_id"] = .uint32(number) }
        }
        let first = templateSteps?.first?["SpecialToken"]?["id"]?.string
        let beginsWithToken = first.map { $0 == text(of: "bos") || $0 == text(of: "cls") }
        for (role, fromTemplate) in [("bos", beginsWithToken), ("eos", nil)] {
            let isAdded = settings?["add_\(role)_token"]?.bool ?? fromTemplate
            if let isAdded { metadata["tokenizer.ggml.add_\(role)_token"] = .bool(isAdded) }
        }
    }

    /// What the tokenizer puts around a single text, where that is more than the text.
    private var templateSteps: [JSONValue]? {
        let processor = tokenizer["post_processor"]
        let processors = processor?["processors"]?.array.map(Array.init) ?? [processor].compactMap { $0 }
        let template = processors.first { $0["type"]?.string == "TemplateProcessing" }
        let steps = template?["single"]?.array.map(Array.init)
        return steps.flatMap { $0.count > 1 ? $0 : nil }
    }
}
