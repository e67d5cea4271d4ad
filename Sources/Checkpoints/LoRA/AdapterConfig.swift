import SystemPackage
import TensorCore

/// What the `adapter_config.json` of PEFT says of a LoRA adapter.
package struct AdapterConfig: Sendable {
    static let fileName: FilePath.Component = "adapter_config.json"

    let file: FilePath
    /// What the base is called, and what the model is for, as far as that is said.
    package let base, task: String?
    private let rank: Int
    private let alpha: Double
    /// Whether the factor is alpha / √rank instead of alpha / rank.
    private let isRankStabilized: Bool
    /// Whether the rows of the folded weights have lengths of their own (DoRA).
    let usesMagnitudes: Bool
    /// Whether weights are stored as `[inputs, outputs]`, as GPT-2's are.
    package let isTransposed: Bool
    /// Ends of the names of modules that are trained as a whole.
    package let savedModules: [String]
    /// Whether biases are trained of modules that have no factors, too.
    package let trainsAllBiases: Bool
    /// Tensors without a module of their own that factors belong to, such as stacks of experts.
    let targetParameters: [String]
    private let ranks: [(pattern: String, value: Int)]
    private let alphas: [(pattern: String, value: Double)]

    /// Reads a configuration.
    ///
    /// - Throws: `FormatError`: what is wrong with the JSON; `bad_config` for values that are none; `unsupported_object` for other
    ///   kinds of adapters, and for what does not become a part of the weights. `IOError` when the file cannot be read.
    init(reading file: FilePath) throws {
        try self.init(Self.document(file), file: file)
    }

    /// The configuration of an adapter that has none.
    init(absentBeside weights: FilePath) {
        file = weights
        (base, task) = (nil, nil)
        (rank, alpha) = (1, 1)
        (isRankStabilized, usesMagnitudes, isTransposed, trainsAllBiases) = (false, false, false, false)
        (savedModules, targetParameters) = ([], [])
        (ranks, alphas) = ([], [])
    }

    /// Reads a configuration out of an object.
    ///
    /// - Parameter prefix: what stands in front of every key.
    /// - Throws: `FormatError`, as reading a file does.
    init(_ document: JSONValue, prefix: String = "", file: FilePath) throws(FormatError) {
        self.file = file
        let config = PrefixedObject(document, prefix: prefix)
        func fault(_ problem: String, at value: JSONValue? = nil) -> FormatError {
            FormatError(.badConfig, problem, file: file, byteOffset: value?.byteOffset)
        }
        guard document.kind == .object else {
            throw fault("the configuration of an adapter is an object", at: document)
        }
        try Self.requireLoRA(config, file: file)
        func flag(_ key: String) throws(FormatError) -> Bool {
            guard let value = config[key], !value.isNull else { return false }
            guard let flag = value.bool else { throw fault("`\(key)` is neither true nor false", at: value) }
            return flag
        }
        func rank(_ value: JSONValue?, of name: String) throws(FormatError) -> Int {
            guard let value, let rank = value.int, rank > 0, rank <= Int(Int32.max) else {
                throw fault("the rank \(name) is no whole number above zero", at: value)
            }
            return rank
        }
        func alpha(_ value: JSONValue?, of name: String) throws(FormatError) -> Double {
            guard let value, let alpha = value.double, alpha.isFinite else {
                throw fault("\(name) is no finite number", at: value)
            }
            return alpha
        }
        func pattern(_ key: String) throws(FormatError) -> [(name: String, value: JSONValue)] {
            guard let value = config[key], !value.isNull else { return [] }
            guard let members = value.object else { throw fault("`\(key)` is no object", at: value) }
            for member in members where Self.expression(member.key) == nil {
                throw fault(
                    "`\(key)` has a key that is no regular expression, or one that may take for ever", at: member.name)
            }
            return members.map { ($0.key, $0.value) }
        }
        func texts(_ key: String) throws(FormatError) -> [String] {
            guard let value = config[key], !value.isNull else { return [] }
            guard let list = value.array?.map(\.string) else { throw fault("`\(key)` is no list of names", at: value) }
            let texts = list.compactMap(\.self)
            guard texts.count == list.count else { throw fault("`\(key)` is no list of names", at: value) }
            return texts
        }
        base = config["base_model_name_or_path"]?.string
        task = config["task_type"]?.string
        trainsAllBiases = config["bias"]?.string == "all"
        self.rank = try rank(config["r"], of: "`r`")
        self.alpha = try alpha(config["lora_alpha"], of: "`lora_alpha`")
        isRankStabilized = try flag("use_rslora")
        usesMagnitudes = try flag("use_dora")
        isTransposed = try flag("fan_in_fan_out")
        savedModules = try texts("modules_to_save")
        targetParameters = try texts("target_parameters")
        var ranks: [(String, Int)] = []
        for (name, value) in try pattern("rank_pattern") {
            ranks.append((name, try rank(value, of: "\"\(name.escapingControlCharacters)\" of `rank_pattern`")))
        }
        var alphas: [(String, Double)] = []
        for (name, value) in try pattern("alpha_pattern") {
            alphas.append((name, try alpha(value, of: "\"\(name.escapingControlCharacters)\" of `alpha_pattern`")))
        }
        self.ranks = ranks
        self.alphas = alphas
    }

    /// The rank of a module, and the factor of its product.
    ///
    /// - Parameter module: its name in the model that was trained.
    func scaling(of module: String) -> (rank: Int, factor: Double) {
        let rank = Self.first(of: ranks, matching: module) ?? rank
        let alpha = Self.first(of: alphas, matching: module) ?? alpha
        return (rank, alpha / (isRankStabilized ? Double(rank).squareRoot() : Double(rank)))
    }

    /// Whether a module is trained as a whole.
    func saves(_ module: String) -> Bool { savedModules.contains { module == $0 || module.hasSuffix(".\($0)") } }

    // MARK: - Patterns

    /// PEFT takes a pattern for the end of a module's name, from a dot on.
    private static func first<Value>(of list: [(pattern: String, value: Value)], matching name: String) -> Value? {
        list.first { entry in
            if name == entry.pattern || name.hasSuffix(".\(entry.pattern)") { return true }
            return expression(entry.pattern).map { (try? $0.wholeMatch(in: name)) != nil } ?? false
        }?.value
    }

    private static func expression(_ pattern: String) -> Regex<AnyRegexOutput>? {
        guard isQuick(pattern) else { return nil }
        return try? Regex("(?:.*\\.)?(?:\(pattern))").matchingSemantics(.unicodeScalar)
    }

    /// Whether no group is repeated that repeats or chooses itself: trying all ways to match such a pattern can take for ever.
    private static func isQuick(_ pattern: String) -> Bool {
        var groups = [false]
        var isClass = false
        var rest = pattern.utf8[...]
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "\\"): rest = rest.dropFirst()
            case UInt8(ascii: "["): isClass = true
            case UInt8(ascii: "]"): isClass = false
            case _ where isClass: break
            case UInt8(ascii: "("):
                groups.append(false)
                // What kind of group it is.
                if rest.first == UInt8(ascii: "?") { rest = rest.dropFirst() }
            case UInt8(ascii: "|"), UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "{"), UInt8(ascii: "?"):
                groups[groups.count - 1] = true
            case UInt8(ascii: ")"):
                guard groups.count > 1, let inner = groups.popLast() else { return false }
                if inner, let next = rest.first, "*+{".utf8.contains(next) { return false }
                groups[groups.count - 1] = groups[groups.count - 1] || inner
            default: break
            }
        }
        return true
    }

    // MARK: - Reading

    private static func document(_ file: FilePath) throws -> JSONValue {
        let text = try MappedFile(file).withUnsafeBytes { Array($0) }
        do { return try JSONDocument.parse(text, file: file) } catch {
            // Python writes and reads what JSON has no numbers for.
            let rest = error.byteOffset.map { text.dropFirst(Int($0)) } ?? []
            guard error.category == .invalidJSON, rest.starts(with: "NaN".utf8) || rest.starts(with: "Infinity".utf8)
            else { throw error }
            throw FormatError(
                .badConfig, "a value of the configuration is not finite", file: file,
                byteOffset: error.byteOffset.map { Int($0) })
        }
    }

    /// Variants of LoRA that a fold would get wrong, with what they are called.
    private static let variants = [
        "layer_replication", "megatron_config", "use_qalora", "use_bdlora", "arrow_config", "kasa_config",
        "alora_invocation_tokens", "trainable_token_indices",
    ]
    /// Ways to begin training that change the base, which then is not what was published.
    private static let beginnings = ["pissa", "olora", "corda", "loftq", "lora_ga"]

    private static func requireLoRA(_ config: PrefixedObject, file: FilePath) throws(FormatError) {
        func unsupported(_ problem: String, at value: JSONValue?, hint: String) -> FormatError {
            FormatError(.unsupportedObject, problem, file: file, byteOffset: value?.byteOffset, hint: hint)
        }
        guard let kind = config["peft_type"]?.string else {
            throw FormatError(.badConfig, "the configuration has no `peft_type`", file: file)
        }
        guard kind == "LORA" else {
            throw unsupported(
                "the adapter is of the kind \(kind.escapingControlCharacters), and only LORA is folded",
                at: config["peft_type"], hint: "fold it with PEFT: merge_and_unload()")
        }
        for key in variants {
            guard let value = config[key], !value.isNull, value.bool != false, value.array?.count != 0 else { continue }
            throw unsupported(
                "`\(key)` is set, and such adapters are not folded here", at: value,
                hint: "fold it with PEFT: merge_and_unload()")
        }
        if let value = config["init_lora_weights"], let name = value.string?.lowercased(),
            beginnings.contains(where: name.hasPrefix)
        {
            throw unsupported(
                "the adapter was begun as \(name.escapingControlCharacters), which changes the base that it belongs to",
                at: value,
                hint:
                    "save it for the original base: save_pretrained(..., path_initial_model_for_weight_conversion=...)")
        }
    }
}

/// An object whose keys have a prefix.
private struct PrefixedObject {
    private let object: JSONValue
    private let prefix: String

    init(_ object: JSONValue, prefix: String) {
        self.object = object
        self.prefix = prefix
    }

    subscript(key: String) -> JSONValue? { object[prefix + key] }
}
