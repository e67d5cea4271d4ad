import TensorCore

/// What the user says about a method's parameters; nothing is checked before a plan is made.
public struct MergeParameters: Sendable {
    /// Values for the whole merge. For a parameter that is per expert, a list has one value for each.
    public var values: [String: ParameterValue]
    /// Values for single experts, in the order of the experts, over those for the whole merge. Shorter than the number of
    /// experts means that the rest says nothing.
    public var experts: [[String: ParameterValue]]
    /// Values for single tensors over all others, asked for every tensor; this is how filters and gradients over layers
    /// are carried out. The expert is nil for parameters of the whole merge.
    public var overrides: Override?
    /// The parameters that `overrides` answers for: where a method needs one value for all tensors, they are refused.
    public var varying: Set<String> = []
    /// What a tensor of the result is called in an expert's own model, which is what statistics of the expert call it; nil where
    /// all models have the names of the result.
    public var inputName: InputName?

    public typealias Override =
        @Sendable (_ parameter: String, _ expert: Int?, _ tensor: TensorName) -> ParameterValue?
    public typealias InputName = @Sendable (_ tensor: TensorName, _ expert: Int) -> TensorName

    public init(
        _ values: [String: ParameterValue] = [:], experts: [[String: ParameterValue]] = [], overrides: Override? = nil
    ) {
        self.values = values
        self.experts = experts
        self.overrides = overrides
    }

    public subscript(name: String) -> ParameterValue? {
        get { values[name] }
        set { values[name] = newValue }
    }

    /// Applies `KEY=VALUE` from the command line.
    ///
    /// - Throws: `merge.bad_parameter` when the text is no assignment.
    public mutating func set(_ assignment: String) throws(MergeError) {
        guard let equals = assignment.firstIndex(of: "="), equals != assignment.startIndex else {
            throw MergeError(
                .badParameter, "\"\(assignment)\" sets no parameter", hint: "write it as KEY=VALUE, such as lambda=0.3")
        }
        values[String(assignment[..<equals])] = ParameterValue(
            parsing: String(assignment[assignment.index(after: equals)...]))
    }
}

/// The checked parameters of a method, for one tensor or for the whole merge.
public struct MergeArguments: Sendable {
    private let specs: [ParameterSpec]
    private let parameters: MergeParameters
    public let expertCount: Int
    /// Whether the merge has a base, be it that the method does without.
    let hasBase: Bool
    /// With which a method may read files of its own.
    let threads: Int
    private let tensor: TensorName?

    /// Checks every value that does not depend on a tensor.
    ///
    /// - Throws: `merge.unknown_parameter` with the nearest known name, `merge.bad_parameter`.
    init(
        method: MethodInfo, parameters: MergeParameters, expertCount: Int, hasBase: Bool, threads: Int
    ) throws(MergeError) {
        specs = method.parameters
        self.parameters = parameters
        self.expertCount = expertCount
        self.hasBase = hasBase
        self.threads = threads
        tensor = nil
        let known = Set(specs.map(\.name))
        let stated = Set(parameters.values.keys).union(parameters.experts.flatMap(\.keys))
        for name in stated.sorted() where !known.contains(name) {
            throw Self.unknown(name, of: method)
        }
        if parameters.experts.count > expertCount {
            throw MergeError(
                .badParameter, "parameters for \(parameters.experts.count) experts, but there are \(expertCount)")
        }
        for spec in specs {
            if let stray = parameters.experts.firstIndex(where: { $0[spec.name] != nil }), !spec.isPerExpert {
                throw MergeError(
                    .badParameter, "parameter \"\(spec.name)\" of expert \(stray + 1) belongs to the whole merge")
            }
            try check(spec)
        }
    }

    private init(_ other: MergeArguments, parameters: MergeParameters, tensor: TensorName?) {
        specs = other.specs
        self.parameters = parameters
        expertCount = other.expertCount
        hasBase = other.hasBase
        threads = other.threads
        self.tensor = tensor
    }

    /// The arguments as they hold for one tensor, checked again if they depend on it.
    package func forTensor(_ name: TensorName) throws(MergeError) -> MergeArguments {
        guard parameters.overrides != nil else { return self }
        let arguments = MergeArguments(self, parameters: parameters, tensor: name)
        for spec in specs { try arguments.check(spec) }
        return arguments
    }

    /// What a tensor is called in the models of the experts.
    func inputNames(of tensor: TensorName) -> [TensorName] {
        (0..<expertCount).map { parameters.inputName?(tensor, $0) ?? tensor }
    }

    /// The arguments with another number for every tensor, which was checked already.
    func replacing(_ key: ParameterKey<Double>, byTensor numbers: [TensorName: Double]) -> MergeArguments {
        var replaced = parameters
        let overrides = parameters.overrides
        replaced.overrides = { parameter, expert, tensor in
            if parameter == key.spec.name, let number = numbers[tensor] { return .number(number) }
            return overrides?(parameter, expert, tensor)
        }
        return MergeArguments(self, parameters: replaced, tensor: tensor)
    }

    private func check(_ spec: ParameterSpec) throws(MergeError) {
        if spec.isPerExpert {
            for expert in 0..<expertCount { _ = try value(spec, expert: expert) }
        } else {
            _ = try value(spec, expert: nil)
        }
    }

    private func value(_ spec: ParameterSpec, expert: Int?) throws(MergeError) -> ParameterValue {
        if let tensor, let override = parameters.overrides?(spec.name, expert, tensor) {
            return try spec.accept(override)
        }
        if let expert, expert < parameters.experts.count, let own = parameters.experts[expert][spec.name] {
            return try spec.accept(own)
        }
        guard let stated = parameters.values[spec.name] else { return spec.defaultValue }
        if let expert, case .list(let values) = stated {
            guard values.count == expertCount else {
                throw MergeError(
                    .badParameter,
                    "parameter \"\(spec.name)\" has \(values.count) \(values.count == 1 ? "value" : "values") for "
                        + "\(expertCount) \(expertCount == 1 ? "expert" : "experts")",
                    hint: "give one value for all, or one for each")
            }
            return try spec.accept(values[expert])
        }
        return try spec.accept(stated)
    }

    /// The value of a parameter that the method declares.
    ///
    /// - Throws: `merge.bad_parameter` when one value is asked for and the parameter has one for each tensor.
    package subscript<Value>(key: ParameterKey<Value>) -> Value {
        get throws(MergeError) { try read(key.spec, expert: nil) }
    }

    /// A value for each expert.
    package subscript<Value>(key: ExpertParameterKey<Value>) -> [Value] {
        get throws(MergeError) {
            var values: [Value] = []
            for expert in 0..<expertCount { values.append(try read(key.spec, expert: expert)) }
            return values
        }
    }

    private func read<Value: ParameterType>(_ key: ParameterSpec, expert: Int?) throws(MergeError) -> Value {
        // The default of the method's own declaration counts.
        guard let spec = specs.first(where: { $0.name == key.name }) else {
            preconditionFailure("the method does not declare \(key.name)")
        }
        guard tensor != nil || !parameters.varying.contains(key.name) else {
            throw MergeError(
                .badParameter, "parameter \"\(key.name)\" holds for the whole merge and cannot vary with the tensor",
                parameter: key.name, hint: "give one value, without filters and gradients")
        }
        guard let value = Value(parameter: try value(spec, expert: expert)) else {
            preconditionFailure("the method declares \(key.name) with another type")
        }
        return value
    }

    private static func unknown(_ name: String, of method: MethodInfo) -> MergeError {
        let names = method.parameters.map(\.name)
        let known =
            names.isEmpty ? "it has none" : "its parameters are \(names.joined(separator: ", "))"
        let hint = nearestName(to: name, among: names).map { "did you mean \"\($0)\"? \(known)" } ?? known
        return MergeError(.unknownParameter, "method \"\(method.name)\" has no parameter \"\(name)\"", hint: hint)
    }
}
