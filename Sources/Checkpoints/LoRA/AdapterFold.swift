import SystemPackage
import TensorCore

/// One adapter on one base: which tensors it changes, and how.
struct AdapterFold {
    private let adapter: LoRAAdapter
    /// Its modules, by the names in the base where its own are not PEFT's.
    private let modules: [LoRAAdapter.Module]
    private let base: any CheckpointReader
    private let places: [TensorName: Int]
    private let prefix: ModelPrefix
    /// Whether linear layers are stored as `[inputs, outputs]`.
    private let isTransposed: Bool
    /// Whether stacks of experts are stored as `[experts, inputs, outputs]`, as far as shapes tell.
    private let hasTransposedStacks: Bool
    /// The changes of the base's tensors, by their places.
    private(set) var updates: [Int: [LowRankUpdate]] = [:]
    /// What takes the place of the base's tensors: places in the adapter.
    private(set) var replacements: [Int: Int] = [:]
    /// What the base lacks.
    private(set) var additions: [(name: TensorName, place: Int)] = []
    /// What the user should know.
    private(set) var warnings: [Warning]

    /// Finds the base's tensors for all parts of an adapter.
    ///
    /// - Throws: `FormatError`: `missing_tensor` for what the base lacks, `bad_shape` for factors that are no matrices,
    ///   `size_mismatch` for shapes that do not fit, `config_mismatch` for ranks that are not those of the configuration,
    ///   `unsupported_dtype` for weights and factors that do not compute.
    init(of adapter: LoRAAdapter, into base: any CheckpointReader) throws(FormatError) {
        self.adapter = adapter
        self.base = base
        let names = base.descriptors.map(\.name)
        places = Dictionary(zip(names, names.indices), uniquingKeysWith: { first, _ in first })
        if adapter.naming == .peft {
            let isEmpty = adapter.modules.isEmpty && adapter.tensors.isEmpty
            let text = "the adapter has no factors and no tensors, and changes nothing"
            modules = adapter.modules
            warnings =
                isEmpty ? [Warning(FormatWarning.emptyAdapter, text, file: adapter.reader.path.string)] : []
        } else {
            let resolution = try ModuleResolution(of: adapter, in: base)
            (modules, warnings) = (resolution.found.map(\.module), resolution.warnings)
        }
        let weights = modules.map { Self.weights(of: $0, in: adapter.config) }
        let tensors = adapter.tensors.filter { !adapter.config.saves(Self.module(of: $0.name)) }
        prefix = ModelPrefix.of(weights + tensors.map { [$0.name] }, among: names)
        hasTransposedStacks = Self.hasTransposedStacks(adapter, base, places, prefix)
        isTransposed =
            adapter.config.isTransposed && Self.orientation(of: modules, adapter, base, places, prefix) != .outputsFirst
        if adapter.config.isTransposed, !isTransposed {
            warnings.append(
                Warning(
                    FormatWarning.notTransposed,
                    "`fan_in_fan_out` is set, and the layers of the base are stored as [outputs, inputs]: it is passed over, as PEFT "
                        + "does", file: adapter.config.file.string))
        }
        try replace()
        var stacks: [String: [LoRAAdapter.Module]] = [:]
        for module in modules {
            if let place = place(ofModule: module) {
                try add(module, to: place)
            } else {
                stacks[module.name, default: []].append(module)
            }
        }
        for module in modules {
            if let nested = stacks.removeValue(forKey: module.name) { try add(parametersOf: nested) }
        }
    }

    // MARK: - Names

    /// The names that the weight of a module may have.
    private static func weights(of module: LoRAAdapter.Module, in config: AdapterConfig) -> [TensorName] {
        parameters(of: module.name, in: config)
            + ["weight", "in_proj_weight"].map { TensorName("\(module.name).\($0)") }
    }

    /// The tensors in a module that `target_parameters` names.
    private static func parameters(of module: String, in config: AdapterConfig) -> [TensorName] {
        config.targetParameters.compactMap { target in
            let parts = target.split(separator: ".")
            guard let leaf = parts.last else { return nil }
            let owner = parts.dropLast().joined(separator: ".")
            guard owner.isEmpty || module == owner || module.hasSuffix(".\(owner)") else { return nil }
            return TensorName("\(module).\(leaf)")
        }
    }

    private static func module(of tensor: TensorName) -> String {
        tensor.text.split(separator: ".").dropLast().joined(separator: ".")
    }

    private func place(of name: TensorName) -> Int? { prefix.name(of: name).flatMap { places[$0] } }

    /// The weight of a module with a weight; nil for one that only holds other tensors.
    private func place(ofModule module: LoRAAdapter.Module) -> Int? {
        guard Self.parameters(of: module.name, in: adapter.config).isEmpty else { return nil }
        return Self.weights(of: module, in: adapter.config).lazy.compactMap(place(of:)).first
    }

    private func missing(_ name: TensorName, of part: Int) -> FormatError {
        FormatError(
            .missingTensor,
            "the base \(base.path.string) has no tensor \"\(prefix.name(of: name) ?? name)\" for the adapter's "
                + "\"\(adapter.reader.descriptors[part].name)\"", file: adapter.reader.path,
            tensor: adapter.reader.descriptors[part].name,
            hint: hasExpertsApart && !adapter.config.targetParameters.isEmpty
                ? "the base stores its experts one by one, and the adapter changes the stacks that transformers makes of them: "
                    + "merge with PEFT"
                : "is it the base that the adapter was trained on?")
    }

    /// Whether the base has experts with numbers: `experts.0.w1.weight`.
    private var hasExpertsApart: Bool {
        base.descriptors.contains { tensor in
            let parts = tensor.name.text.split(separator: ".")
            return zip(parts, parts.dropFirst()).contains { $0 == "experts" && Int($1) != nil }
        }
    }

    // MARK: - Whole tensors

    private mutating func replace() throws(FormatError) {
        for tensor in adapter.tensors {
            let (name, place) = (tensor.name, tensor.place)
            let own = adapter.reader.descriptors[place]
            let isSaved = adapter.config.saves(Self.module(of: name))
            guard let target = self.place(of: name) else {
                guard isSaved else { throw missing(name, of: place) }
                additions.append((prefix.name(of: name) ?? name, place))
                continue
            }
            let stored = base.descriptors[target]
            // Vocabularies grow.
            let fits =
                own.shape == stored.shape
                || own.shape.rank == stored.shape.rank && own.shape.dims.dropFirst() == stored.shape.dims.dropFirst()
            guard fits || isSaved else { throw mismatch(place, "\(own.shape)", target) }
            replacements[target] = place
        }
    }

    // MARK: - Shapes

    /// Which way round the linear layers are stored that an adapter changes.
    private static func orientation(
        of modules: [LoRAAdapter.Module], _ adapter: LoRAAdapter, _ base: any CheckpointReader,
        _ places: [TensorName: Int], _ prefix: ModelPrefix
    ) -> LayerOrientation {
        let factors = modules.compactMap { module -> (place: Int, outputs: Int, inputs: Int)? in
            let shapes = [module.a, module.b].map { adapter.reader.descriptors[$0].shape.dims }
            guard !module.isEmbedding, shapes.allSatisfy({ $0.count == 2 }) else { return nil }
            let names = weights(of: module, in: adapter.config).lazy.compactMap { prefix.name(of: $0) }
            return names.compactMap { places[$0] }.first.map { ($0, shapes[1][0], shapes[0][1]) }
        }
        return LayerOrientation(factors: factors, base: base.descriptors, places: places)
    }

    private func mismatch(_ part: Int, _ found: String, _ target: Int) -> FormatError {
        let own = adapter.reader.descriptors[part]
        let stored = base.descriptors[target]
        return FormatError(
            .sizeMismatch,
            "tensor \"\(own.name)\" of shape \(found) does not fit \"\(stored.name)\" of shape \(shape(of: target)) of the base "
                + base.path.string, file: adapter.reader.path, tensor: own.name)
    }

    /// The shape of the base's tensor, or of what takes its place.
    private func shape(of target: Int) -> Shape {
        replacements[target].map { adapter.reader.descriptors[$0].shape } ?? base.descriptors[target].shape
    }

    /// Makes sure that numbers are ones to compute with.
    private func requireNumbers(_ module: LoRAAdapter.Module, _ target: Int) throws(FormatError) {
        for place in [module.a, module.b, module.magnitude, module.bias].compactMap(\.self) {
            try adapter.requireNumbers(place)
        }
        let stored = base.descriptors[target]
        guard stored.layout.isPlain, stored.dtype.isComputable else {
            throw FormatError(
                .unsupportedDtype,
                "tensor \"\(stored.name)\" of the base is stored as \(stored.layout.name), into which nothing is folded",
                file: base.path, tensor: stored.name, hint: "fold into the base in BF16, F16 or F32")
        }
    }

    private mutating func add(_ module: LoRAAdapter.Module, to target: Int) throws(FormatError) {
        try requireNumbers(module, target)
        let (a, b) = (adapter.reader.descriptors[module.a], adapter.reader.descriptors[module.b])
        let dims = shape(of: target).dims
        // Embeddings are matrices whatever their factors are called.
        guard dims.count >= 2 else { throw mismatch(module.a, "\(a.shape)", target) }
        for (place, factor) in [(module.a, a), (module.b, b)]
        where factor.shape.rank != dims.count || factor.elementCount == 0 {
            throw FormatError(
                .badShape,
                "tensor \"\(factor.name)\" has the shape \(factor.shape), and a factor of \"\(base.descriptors[target].name)\" "
                    + "has \(dims.count) dimensions", file: adapter.reader.path,
                tensor: adapter.reader.descriptors[place].name)
        }
        let (rank, outputs, kernel) = try adapter.product(of: module)
        let isPlain = !module.isEmbedding && dims[0] == outputs && kernel == Array(dims.dropFirst())
        let isTurned = dims == [a.shape.dims[1], outputs]
        let isTransposed = module.isEmbedding || isTransposed && isTurned
        guard isTransposed ? isTurned : isPlain else { throw mismatch(module.a, "\(b.shape) x \(a.shape)", target) }
        try append(
            module, to: target, name: module.name, rank: rank, matrices: 1, inputs: kernel.reduce(1, *),
            outputs: outputs, isTransposed: isTransposed)
        if let bias = module.bias { try add(bias: bias, of: module, outputs: outputs) }
    }

    private mutating func append(
        _ module: LoRAAdapter.Module, to target: Int, name: String, rank: Int, matrices: Int, inputs: Int, outputs: Int,
        isTransposed: Bool
    ) throws(FormatError) {
        let scale = try adapter.scale(of: module, named: name, rank: rank)
        if let magnitude = module.magnitude, adapter.reader.descriptors[magnitude].elementCount != outputs {
            throw mismatch(magnitude, "\(adapter.reader.descriptors[magnitude].shape)", target)
        }
        updates[target, default: []].append(
            LowRankUpdate(
                reader: adapter.reader, a: module.a, b: module.b, matrices: matrices, rank: rank, inputs: inputs,
                outputs: outputs, scale: scale, isTransposed: isTransposed, magnitude: module.magnitude))
    }

    /// A bias of the second factor is one of the module, which the factor of the product multiplies as well.
    private mutating func add(
        bias: Int, of module: LoRAAdapter.Module, outputs: Int
    ) throws(FormatError) {
        let name = TensorName("\(module.name).bias")
        guard let target = place(of: name) else { throw missing(name, of: bias) }
        try requireNumbers(module, target)
        guard shape(of: target) == [outputs], adapter.reader.descriptors[bias].shape == [outputs] else {
            throw mismatch(bias, "\(adapter.reader.descriptors[bias].shape)", target)
        }
        updates[target, default: []].append(
            LowRankUpdate(
                reader: adapter.reader, a: nil, b: bias, matrices: 1, rank: 1, inputs: 1, outputs: outputs,
                scale: (module.scaling ?? adapter.config.scaling(of: module.name)).factor, isTransposed: false,
                magnitude: nil))
    }
}

// MARK: - Stacks of experts

extension AdapterFold {
    /// Adds the changes of tensors that lie in one module without having modules of their own. Which is whose, the names of factors do
    /// not tell: shapes do, and then the order, innermost first.
    private mutating func add(parametersOf modules: [LoRAAdapter.Module]) throws(FormatError) {
        guard let first = modules.first else { return }
        let names = Self.parameters(of: first.name, in: adapter.config)
        var seen: Set<TensorName> = []
        let found = names.filter { place(of: $0) != nil && seen.insert($0).inserted }
        guard let lacking = names.first ?? Self.weights(of: first, in: adapter.config).first, !found.isEmpty else {
            throw missing(
                names.first ?? TensorName("\(first.name).weight"), of: first.a)
        }
        guard found.count == modules.count else {
            throw missing(names.first { !found.contains($0) } ?? lacking, of: first.a)
        }
        let nested = modules.sorted { $0.depth > $1.depth }
        let targets = found.compactMap { name in place(of: name).map { (name: name, place: $0) } }
        let matching = FactorMatching(count: targets.count) { sides(nested[$0], targets[$1].place) != nil }
        if let place = matching.unplaced { throw unplaced(nested[place], among: targets.map(\.place)) }
        for (module, place) in zip(nested, matching.order) { try add(module, toParameter: targets[place]) }
    }

    /// The error of factors that no tensor of their module is left for.
    private func unplaced(_ module: LoRAAdapter.Module, among targets: [Int]) -> FormatError {
        let (a, b) = (adapter.reader.descriptors[module.a], adapter.reader.descriptors[module.b])
        guard let target = targets.first(where: { sides(module, $0) != nil }) else {
            return mismatch(module.a, "\(b.shape) x \(a.shape)", targets[0])
        }
        return FormatError(
            .sizeMismatch,
            "the adapter has more factors of the shapes \(b.shape) x \(a.shape), as \"\(a.name)\" has, than the base has tensors "
                + "that they fit, such as \"\(base.descriptors[target].name)\"", file: adapter.reader.path,
            tensor: a.name)
    }

    /// The matrices of a tensor and their sides, `[matrices, inputs, outputs]`, where factors of its shape can be meant.
    private func sides(
        _ module: LoRAAdapter.Module, _ target: Int
    ) -> (matrices: Int, inputs: Int, outputs: Int, isTransposed: Bool)? {
        let (a, b) = (adapter.reader.descriptors[module.a].shape.dims, adapter.reader.descriptors[module.b].shape.dims)
        let dims = shape(of: target).dims
        guard a.count == 2, b.count == 2, a[0] == b[1], (2...3).contains(dims.count) else { return nil }
        let matrices = dims.count == 3 ? dims[0] : 1
        guard matrices > 0, a[0] > 0, a[0] % matrices == 0 else { return nil }
        let (first, second) = (dims[dims.count - 2], dims[dims.count - 1])
        let isPlain = b[0] == first && a[1] == second
        let isTurned = dims.count == 3 && a[1] == first && b[0] == second
        guard isPlain || isTurned else { return nil }
        return (matrices, a[1], b[0], isTurned && (!isPlain || hasTransposedStacks))
    }

    /// Whether any stack whose matrices are not square is stored as `[experts, inputs, outputs]`, as those of gpt-oss are.
    private static func hasTransposedStacks(
        _ adapter: LoRAAdapter, _ base: any CheckpointReader, _ places: [TensorName: Int], _ prefix: ModelPrefix
    ) -> Bool {
        adapter.modules.contains { module in
            let (a, b) = (
                adapter.reader.descriptors[module.a].shape.dims, adapter.reader.descriptors[module.b].shape.dims
            )
            guard a.count == 2, b.count == 2, a[1] != b[0] else { return false }
            return parameters(of: module.name, in: adapter.config).contains { name in
                guard let place = prefix.name(of: name).flatMap({ places[$0] }) else { return false }
                let dims = base.descriptors[place].shape.dims
                return dims.count == 3 && dims[1] == a[1] && dims[2] == b[0]
            }
        }
    }

    private mutating func add(
        _ module: LoRAAdapter.Module, toParameter parameter: (name: TensorName, place: Int)
    ) throws(FormatError) {
        let target = parameter.place
        guard let sides = sides(module, target) else { preconditionFailure("the factors fit the tensor") }
        try requireNumbers(module, target)
        guard module.magnitude == nil, module.bias == nil else {
            throw FormatError(
                .unsupportedObject,
                "the factors of \"\(base.descriptors[target].name)\" have more parts than PEFT knows",
                file: adapter.reader.path, tensor: adapter.reader.descriptors[module.a].name)
        }
        let rank = adapter.reader.descriptors[module.a].shape.dims[0] / sides.matrices
        try append(
            module, to: target, name: parameter.name.text, rank: rank, matrices: sides.matrices, inputs: sides.inputs,
            outputs: sides.outputs, isTransposed: sides.isTransposed)
    }
}
