import Checkpoints
import Networks
import SystemPackage
import TensorCore

/// A family of checkpoints that can be computed: what a library calls the tensors, and which network its configuration describes.
struct Architecture: Sendable {
    /// What messages call it, as in "Hugging Face's ViT".
    let name: String
    /// Tensors that tell it, whatever stands before them.
    let marks: [String]
    /// What `model_type` may be. A configuration may do without one unless others have the same names.
    let modelTypes: [String]
    var needsModelType = false
    /// Whether the names are such that `model_type` has to say that it is this family before they mean anything.
    var hasAnybodysNames = false
    /// What the configuration may be called; the first that is there counts.
    var configurations = ["config.json"]
    /// What can be done when there is none.
    var missingConfigurationHint: String?
    /// Where each entry of the network's layout lies.
    let rules: [BindingRule]
    /// Beginnings of names inside which every tensor of numbers takes part, so that one which no rule knows makes it another model.
    let interior: [String]
    /// Tensors inside that take part in nothing; `N` stands for the number of a layer behind those that count.
    var idle: [String] = []
    /// Ways in which the library itself names the tensors.
    var spellings = [Spelling.written]
    /// What can be done about a tensor that nobody knows.
    var foreignTensorHint = "check that it belongs to this checkpoint"
    /// Parts of models of the family that are not computed, by a piece of their tensors' names.
    var unsupported: [(mark: String, part: String)] = []
    /// How the library normalises pixels where nothing says so.
    var normalization = ImageNormalization.unit
    /// The network of a checkpoint.
    let network: @Sendable (ConfigurationFiles, ModelTensors) throws -> any Network

    /// All that can be computed, the special before the general.
    static let all: [Architecture] =
        [
            .timmViT, .huggingFaceDINOv2, .huggingFaceViT, .huggingFaceCLIP, .huggingFaceSigLIP, .openCLIP, .bert,
            .roberta,
            .distilBERT,
        ] + perceptrons
}

extension Architecture {
    /// The models of the family in a checkpoint: none where it is another.
    func models(in store: TensorStore) -> [ModelTensors] {
        spellings.flatMap { spelling in
            let marks = marks.map { spelling($0) }
            return store.descriptors.compactMap { descriptor -> ModelTensors? in
                guard let prefix = Self.prefix(of: descriptor.name.text, before: marks[0]),
                    marks.allSatisfy({ store.index(of: TensorName(prefix + $0)) != nil })
                else { return nil }
                return ModelTensors(store: store, prefix: prefix, spelling: spelling)
            }
        }
    }

    /// The modules that stand before a name; nil when it does not end the other.
    static func prefix(of name: String, before mark: String) -> String? {
        guard name.utf8.count > mark.utf8.count else { return name == mark ? "" : nil }
        return name.hasSuffix("." + mark) ? String(name.dropLast(mark.count)) : nil
    }

    /// The family's tensors in a checkpoint.
    ///
    /// - Throws: `input.missing_tensor` when it has none, `input.bad_config` when there are several models.
    func tensors(of store: TensorStore) throws(InputError) -> ModelTensors {
        let models = models(in: store)
        guard let model = models.first else { throw .unknownModel(store, wanted: self) }
        guard models.count == 1 else {
            throw InputError(
                .badConfig,
                "\(store.path.string) holds several models: \(models.map { "\"\($0.prefix)\"" }.joined(separator: ", "))",
                file: store.path, tensor: model.name(marks[0]),
                hint: "take one out with `untangle convert --only '\(model.prefix)*'`")
        }
        return model
    }

    /// Where the parameters of a network lie in a checkpoint.
    ///
    /// - Precondition: the rules know every entry of the layout.
    func bindings(of layout: ParameterLayout, in tensors: ModelTensors) -> [TensorBinding] {
        layout.entries.flatMap { entry in
            for rule in rules { if let bindings = rule.bindings(of: entry, in: tensors) { return bindings } }
            preconditionFailure("\(name) has no name for \(entry.name)")
        }
    }

    /// Makes sure that the checkpoint has no parts that a network would leave out.
    ///
    /// - Parameters:
    ///   - config: describes the network.
    ///   - culprit: the file that the error names.
    /// - Throws: `input.bad_config` that names the first.
    func checkNothingIsLeftOut(
        _ bindings: [TensorBinding], of tensors: ModelTensors, config: FilePath, culprit: FilePath
    ) throws(InputError) {
        let store = tensors.store
        let known = Set(bindings.map(\.name)).union(idle.flatMap { names(ofIdle: $0, in: tensors) })
        let beginnings = interior.map { tensors.name($0).text }
        for descriptor in store.descriptors where !known.contains(descriptor.name) {
            // Integers are buffers, such as the numbers of positions.
            guard descriptor.dtype.isComputable, beginnings.contains(where: { descriptor.name.text.hasPrefix($0) })
            else { continue }
            // Parts of weights that cannot be read; whoever reads them says so.
            if let quantization = Quantization(of: store), quantization.parts.contains(descriptor.name) { continue }
            throw InputError(
                .badConfig,
                "\(store.path.string) has the tensor \"\(descriptor.name)\", which the architecture of \(config.string) does not "
                    + "have", file: culprit, tensor: descriptor.name, hint: foreignTensorHint)
        }
    }

    private func names(ofIdle pattern: String, in tensors: ModelTensors) -> [TensorName] {
        guard ModelTensors.numbered(pattern, 0) != pattern else { return [tensors.name(pattern)] }
        return rules.flatMap { rule in
            (0...).lazy.map { tensors.name(pattern, block: rule.first + rule.step * $0) }
                .prefix { tensors.store.index(of: $0) != nil }
        }
    }

    /// Makes sure that the checkpoint has no parts of the family that are not computed.
    ///
    /// - Throws: `input.bad_config` that names the part.
    func checkIsComputed(_ tensors: ModelTensors) throws(InputError) {
        for (mark, part) in unsupported {
            let found = tensors.store.descriptors.first {
                $0.name.text.hasPrefix(tensors.prefix)
                    && ("." + $0.name.text.dropFirst(tensors.prefix.count)).contains(mark)
            }
            guard let found else { continue }
            throw InputError(
                .badConfig,
                "\(tensors.store.path.string) has \(part) (\"\(found.name)\"), which is not computed for \(name)",
                file: tensors.store.path, tensor: found.name, hint: Self.anyModelHint)
        }
    }

    /// What can be done with models that are not computed.
    static let anyModelHint = "merge, vectors, diff and convert take models of any kind"
}

extension Architecture {
    /// The family of a checkpoint and the files that describe it.
    ///
    /// - Throws: `input.missing_tensor` that lists what was looked for; `input.missing_config`; `input.bad_config` when the
    ///   configuration is of another family; `FormatError` for JSON that is none.
    static func find(
        in store: TensorStore, config: FilePath?
    ) throws -> (architecture: Architecture, files: ConfigurationFiles) {
        let named = InputError.modelType(config, of: store)
        let found = all.filter { architecture in
            if architecture.hasAnybodysNames, !architecture.accepts(named) { return false }
            return !architecture.models(in: store).isEmpty
        }
        guard let first = found.first else { throw InputError.unknownModel(store, config: config) }
        try first.checkIsComputed(try first.tensors(of: store))
        let files = try ConfigurationFiles(
            of: store.path, config: config, names: first.configurations, hint: first.missingConfigurationHint)
        let type = try files.main.text("model_type")
        guard let architecture = found.first(where: { $0.accepts(type) }) else {
            let types = found.flatMap(\.modelTypes).map { "\"\($0)\"" }.joined(separator: ", ")
            throw InputError(
                .badConfig,
                type.map { "model_type \"\($0)\" is not supported with the tensor names of \(first.name)" }
                    ?? "\(files.main.file.string) has no \"model_type\", and several families have the tensor names of "
                    + first.name,
                file: files.main.file, hint: "it may be \(types); \(anyModelHint)")
        }
        return (architecture, files)
    }

    func accepts(_ type: String?) -> Bool { type.map { modelTypes.contains($0) } ?? !needsModelType }
}
