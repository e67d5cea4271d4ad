import Checkpoints
import Networks
import SystemPackage
import TensorCore

/// The keys of a configuration file, by whatever names libraries give them.
struct ConfigKeys: Sendable {
    private let object: JSONValue
    /// Where keys are looked for that the object lacks.
    private let inner: JSONValue?
    /// What whole numbers and sizes are where nothing says it.
    private var standard: [String: Int] = [:]
    let file: FilePath

    private init(_ object: JSONValue, inner: JSONValue? = nil, file: FilePath) {
        self.object = object
        self.inner = inner
        self.file = file
    }

    /// Reads a file.
    ///
    /// - Throws: `input.bad_config` when it holds no object, `FormatError` for JSON that is none, `IOError`.
    init(reading file: FilePath) throws {
        let text = try MappedFile(file).withUnsafeBytes { Array($0) }
        object = try JSONDocument.parse(text, file: file)
        inner = nil
        self.file = file
        guard object.object != nil else { throw InputError(.badConfig, "\(file.string) holds no object", file: file) }
    }

    /// The keys of an object inside; nil when there is none.
    subscript(section: String) -> ConfigKeys? {
        guard let value = object[section], value.object != nil else { return nil }
        return ConfigKeys(value, file: file)
    }

    /// The same keys, and those of an object inside, which count more.
    func with(_ section: String) -> ConfigKeys { ConfigKeys(object, inner: object[section], file: file) }

    /// The same keys, and what the library takes for those that are left out.
    func with(standard: [String: Int]) -> ConfigKeys {
        var keys = self
        keys.standard = standard
        return keys
    }

    /// The value of a key; a null counts as none.
    func value(_ key: String) -> JSONValue? {
        let value = inner?[key] ?? object[key]
        return value.flatMap { $0.isNull ? nil : $0 }
    }

    /// All keys, in the order of the text.
    var names: [String] { object.object.map { $0.map(\.key) } ?? [] }

    /// An error for a file that says something else than another, or than tensors.
    func contradiction(_ text: String) -> InputError {
        InputError(.badConfig, "\(file.string) describes another network: \(text)", file: file)
    }

    func missing(_ key: String) -> InputError {
        InputError(.badConfig, "\(file.string) has no \"\(key)\"", file: file)
    }

    func bad(_ key: String, _ expectation: String) -> InputError {
        InputError(.badConfig, "\"\(key)\" must be \(expectation)", file: file)
    }

    func text(_ key: String) throws(InputError) -> String? {
        guard let value = value(key) else { return nil }
        guard let text = value.string else { throw bad(key, "a text") }
        return text
    }

    func flag(_ key: String) throws(InputError) -> Bool? {
        guard let value = value(key) else { return nil }
        guard let flag = value.bool else { throw bad(key, "true or false") }
        return flag
    }

    func integer(_ key: String) throws(InputError) -> Int? {
        guard let value = value(key) else { return standard[key] }
        guard let integer = value.int else { throw bad(key, "a whole number") }
        return integer
    }

    func number(_ key: String) throws(InputError) -> Double? {
        guard let value = value(key) else { return nil }
        guard let number = value.double, number.isFinite, abs(number) < 1e9 else { throw bad(key, "a number") }
        return number
    }

    /// The first of several keys that is there, or what the tensors say.
    ///
    /// - Throws: `input.bad_config` when nothing says it.
    func integer(_ keys: String..., else inferred: Int?) throws(InputError) -> Int {
        for key in keys { if let integer = try integer(key) { return integer } }
        guard let inferred else { throw missing(keys[0]) }
        return inferred
    }

    /// The width of the MLPs' hidden layer: a size, a multiple of the model's width, or what the tensors say.
    ///
    /// - Throws: `input.bad_config` when nothing says it.
    func mlpSize(width: Int, else inferred: Int?) throws(InputError) -> Int {
        if let size = try integer("intermediate_size") { return size }
        let product = try number("mlp_ratio").map { (Double(width) * $0).rounded(.towardZero) }
        guard let size = product.flatMap(Int.init(exactly:)) ?? inferred else { throw missing("intermediate_size") }
        return size
    }

    /// Height and width: one number for both, or a pair.
    func size(_ key: String) throws(InputError) -> (height: Int, width: Int)? {
        guard let value = value(key) else { return standard[key].map { ($0, $0) } }
        if let side = value.int { return (side, side) }
        let sides = value.array.map { $0.map(\.int) } ?? []
        guard sides.count == 2, let height = sides[0], let width = sides[1] else {
            throw bad(key, "a whole number or a pair")
        }
        return (height, width)
    }

    /// One number, or a list of one for each channel.
    func numbers(_ key: String, channels: Int) throws(InputError) -> [Float]? {
        guard let value = value(key) else { return nil }
        let list = value.array.map { $0.map(\.double) } ?? [value.double]
        let numbers = list.compactMap { $0 }.map { Float($0) }
        guard numbers.count == list.count, numbers.count == 1 || numbers.count == channels,
            numbers.allSatisfy(\.isFinite)
        else {
            throw bad(key, "one number" + (channels == 1 ? "" : ", or a list of \(channels), one per channel"))
        }
        return numbers
    }

    /// The row of padding in an embedding, by `pad_token_id`: counted from the end where it is negative, as in PyTorch; none where it is null.
    ///
    /// - Parameter standard: what the library takes where nothing says it.
    func paddingRow(_ standard: Int, of vocabulary: Int) throws(InputError) -> Int? {
        if object["pad_token_id"]?.isNull == true { return nil }
        let row = try integer("pad_token_id") ?? standard
        return row < 0 ? row &+ vocabulary : row
    }

    /// The activation of the MLPs, by the names of transformers and timm.
    func activation(_ keys: String..., else standard: Activation = .gelu) throws(InputError) -> Activation {
        guard let key = keys.first(where: { value($0) != nil }) else { return standard }
        switch try text(key) {
        case nil: return standard
        case "gelu", "gelu_python": return .gelu
        case "gelu_pytorch_tanh", "gelu_new", "gelu_fast", "gelu_tanh": return .geluTanh
        case "quick_gelu": return .quickGELU
        case "relu": return .relu
        case let other?:
            throw InputError(
                .badConfig, "\(key) \"\(other)\" is not supported; gelu, gelu_pytorch_tanh, quick_gelu and relu are",
                file: file)
        }
    }

    /// The number of blocks, which must be that of the checkpoint: one that is left out would make it another model.
    ///
    /// - Parameter pattern: a tensor that every block has, with `N` for its number.
    /// - Throws: `input.bad_config` with the first tensor that is missing or would be left out.
    func layerCount(_ keys: String..., of pattern: String, in tensors: ModelTensors) throws(InputError) -> Int {
        let found = tensors.count(of: pattern)
        var layers = found
        for key in keys.reversed() { layers = try integer(key) ?? layers }
        guard layers == found else {
            throw InputError(
                .badConfig, "\(file.string) says \(layers) layers, but the checkpoint has \(found)", file: file,
                tensor: tensors.name(pattern, block: max(0, min(layers, found))),
                hint: "check that \(file.lastComponent?.string ?? "it") belongs to this checkpoint")
        }
        return layers
    }
}
