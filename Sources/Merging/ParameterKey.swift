/// A parameter of a merge method, declared once: what the method lists, and what it reads its arguments by.
package protocol MethodParameter: Sendable {
    var spec: ParameterSpec { get }
}

/// A parameter with one value for the merge, or for a tensor.
package struct ParameterKey<Value: ParameterType>: MethodParameter {
    package let spec: ParameterSpec

    /// Declares a parameter.
    ///
    /// - Parameters:
    ///   - defaultValue: what holds when nothing is said.
    ///   - range: numbers outside are refused; nil accepts any finite number.
    ///   - help: one sentence for people.
    package init(_ name: String, default defaultValue: Value, range: ClosedRange<Double>? = nil, help: String) {
        self.init(
            spec: ParameterSpec(
                name, Value.kind, default: defaultValue.parameterValue, range: range, perExpert: false, help: help))
    }

    private init(spec: ParameterSpec) { self.spec = spec }

    /// The parameter as a method has it that differs in these.
    package func with(default defaultValue: Value? = nil, help: String? = nil) -> ParameterKey {
        ParameterKey(spec: spec.with(default: defaultValue?.parameterValue, help: help))
    }
}

/// A parameter with a value for each expert.
package struct ExpertParameterKey<Value: ParameterType>: MethodParameter {
    package let spec: ParameterSpec

    /// Declares a parameter, as `ParameterKey` does.
    package init(_ name: String, default defaultValue: Value, range: ClosedRange<Double>? = nil, help: String) {
        self.init(
            spec: ParameterSpec(
                name, Value.kind, default: defaultValue.parameterValue, range: range, perExpert: true, help: help))
    }

    private init(spec: ParameterSpec) { self.spec = spec }

    /// The parameter as a method has it that differs in these.
    package func with(range: ClosedRange<Double>? = nil, help: String? = nil) -> ExpertParameterKey {
        ExpertParameterKey(spec: spec.with(range: range, help: help))
    }
}

/// What the value of a parameter is in Swift.
package protocol ParameterType: Sendable {
    static var kind: ParameterSpec.Kind { get }
    var parameterValue: ParameterValue { get }

    /// Nil for a value that a parameter of this kind does not accept.
    init?(parameter value: ParameterValue)
}

extension Double: ParameterType {
    package static var kind: ParameterSpec.Kind { .number }
    package var parameterValue: ParameterValue { .number(self) }
    package init?(parameter value: ParameterValue) {
        guard case .number(let number) = value else { return nil }
        self = number
    }
}

/// A number that may be left out.
extension Double?: ParameterType {
    package static var kind: ParameterSpec.Kind { .numberOr("none") }
    package var parameterValue: ParameterValue { map { .number($0) } ?? .text("none") }
    package init?(parameter value: ParameterValue) {
        switch value {
        case .number(let number): self = number
        case .text("none"): self = .none
        default: return nil
        }
    }
}

extension Int: ParameterType {
    package static var kind: ParameterSpec.Kind { .wholeNumber }
    package var parameterValue: ParameterValue { .number(Double(self)) }
    package init?(parameter value: ParameterValue) {
        guard case .number(let number) = value else { return nil }
        self.init(exactly: number)
    }
}

extension Bool: ParameterType {
    package static var kind: ParameterSpec.Kind { .flag }
    package var parameterValue: ParameterValue { .flag(self) }
    package init?(parameter value: ParameterValue) {
        guard case .flag(let flag) = value else { return nil }
        self = flag
    }
}

/// Shell patterns of tensor names.
extension [String]: ParameterType {
    package static var kind: ParameterSpec.Kind { .patterns }
    package var parameterValue: ParameterValue { .list(map { .text($0) }) }
    package init?(parameter value: ParameterValue) {
        guard case .list(let values) = value else { return nil }
        self = values.compactMap { if case .text(let text) = $0 { text } else { nil } }
    }
}

/// A file or folder as the user writes it, relative to the working directory; without a default.
package struct ParameterPath: ParameterType {
    package var text = ""

    package static var kind: ParameterSpec.Kind { .path }
    package var parameterValue: ParameterValue { .text(text) }
    package init() {}
    package init?(parameter value: ParameterValue) {
        guard case .text(let text) = value else { return nil }
        self.text = text
    }
}

/// A choice is an enumeration of texts.
extension ParameterType where Self: RawRepresentable & CaseIterable, RawValue == String {
    package static var kind: ParameterSpec.Kind { .choice(allCases.map(\.rawValue)) }
    package var parameterValue: ParameterValue { .text(rawValue) }
    package init?(parameter value: ParameterValue) {
        guard case .text(let text) = value else { return nil }
        self.init(rawValue: text)
    }
}

// What several methods have in common.

extension ParameterKey<Double> {
    /// The scale of the merged task vector.
    package static var lambda: ParameterKey {
        ParameterKey("lambda", default: 1, help: "Scale of the merged task vector.")
    }
}

extension ParameterKey<Bool> {
    package static var normalize: ParameterKey {
        ParameterKey(
            "normalize", default: false, help: "Divide by the sum of the weights that took part, instead of adding up.")
    }

    package static var rescale: ParameterKey {
        ParameterKey(
            "rescale", default: false, help: "Scale what is left of a task vector to the sum of magnitudes that it had."
        )
    }
}

extension ParameterKey<Int> {
    /// Where random numbers start.
    package static var seed: ParameterKey {
        ParameterKey(
            "seed", default: 0, range: 0...0x1p53,
            help: "What random choices follow from, the same in any order of work.")
    }
}

extension ExpertParameterKey<Double> {
    /// The weight of an expert's task vector.
    package static var weight: ExpertParameterKey {
        ExpertParameterKey("weight", default: 1, help: "Factor of each task vector.")
    }

    package static var density: ExpertParameterKey {
        ExpertParameterKey("density", default: 1, range: 0...1, help: "Share of a task vector's entries that is kept.")
    }
}
