import SystemPackage
import TensorCore

/// A checkpoint whose tensors are not the weights that arithmetic takes them for.
public struct WeightsError: Diagnostic, Hashable {
    public let reason: Reason
    public let message: String
    public let file: String?
    public let tensor: String?
    public let hint: String?

    public var code: String { "input.\(reason.rawValue)" }
    public var severity: DiagnosticSeverity { .badInput }

    /// The kinds of fault; the raw value follows `input.` in an error code.
    public enum Reason: String, Sendable, CaseIterable {
        /// Tensors are codes and scales of quantised ones.
        case quantized
        /// Tensors are factors of an adapter.
        case adapter
    }

    /// A checkpoint with parts of quantised weights, where they would be taken for weights.
    ///
    /// - Parameters:
    ///   - problem: what cannot be done with the parts, such as "they cannot be averaged one by one".
    ///   - hint: nil names the remedy of the scheme.
    public static func quantized(
        _ name: String, _ quantization: Quantization, parts: [TensorName], file: FilePath, problem: String,
        hint: String? = nil
    ) -> WeightsError {
        let tensors = parts.count == 1 ? "1 tensor" : "\(parts.count) tensors"
        let example = parts.first.map { ", such as \"\($0)\"," } ?? ""
        return WeightsError(
            reason: .quantized,
            message: "\(name.escapingControlCharacters) is \(quantization.phrase): \(tensors)\(example) "
                + "\(parts.count == 1 ? "is a part" : "are parts") of quantised weights, and \(problem)",
            file: file.string, tensor: parts.first?.description, hint: hint ?? quantization.scheme.remedy)
    }

    /// What helps where parts cannot be worked on and weights can: nil where none can be put together.
    public static func remedy(for store: TensorStore) -> String? {
        CheckpointView(weightsOf: store.reader) == nil
            ? nil : "convert --dequantize writes the numbers that they stand for"
    }

    /// Models of which only some are quantised, or not in one way.
    ///
    /// - Parameter models: their names, nil for one that is not quantised.
    static func mixed(_ models: [(name: String, quantization: Quantization?)]) -> WeightsError {
        let sorted = models.filter { $0.quantization != nil } + models.filter { $0.quantization == nil }
        let phrases = sorted.map { model in
            "\(model.name.escapingControlCharacters) is \(model.quantization?.phrase ?? "not")"
        }
        let shown = phrases.prefix(6).joined(separator: ", ")
        return WeightsError(
            reason: .quantized,
            message: shown + (phrases.count > 6 ? " and \(phrases.count - 6) more" : ""), file: nil, tensor: nil,
            hint: models.lazy.compactMap(\.quantization).first?.scheme.remedy)
    }

    /// A checkpoint that is an adapter, where factors would be taken for weights.
    ///
    /// - Parameter factor: a tensor that shows it.
    static func adapter(_ name: String, factor: TensorName, file: FilePath) -> WeightsError {
        WeightsError(
            reason: .adapter,
            message:
                "\(name.escapingControlCharacters) is an adapter: tensors such as \"\(factor)\" are factors, of which only the "
                + "product counts; it cannot be worked on factor by factor", file: file.string,
            tensor: factor.description,
            hint: "write the base in front of each adapter: BASE+ADAPTER")
    }

    /// Makes sure that models are plain weights, or quantised all in one way.
    ///
    /// - Parameters:
    ///   - models: with what errors call them.
    ///   - wanted: the tensors that are to be worked on.
    /// - Returns: how the models are quantised, nil when none is, and the tensors that are parts of quantised ones in any of them.
    /// - Throws: `input.adapter` when a wanted tensor is a factor; `input.quantized` when only some of the models are quantised, or
    ///   not all in one way.
    public static func check(
        _ models: [(name: String, store: TensorStore)], of wanted: Set<TensorName>
    ) throws(WeightsError) -> (quantization: Quantization?, names: Set<TensorName>) {
        var found: [(name: String, quantization: Quantization?)] = []
        for (name, store) in models {
            if let factor = AdapterNames.firstFactor(in: store, among: wanted) {
                throw adapter(name, factor: factor, file: store.path)
            }
            let quantization = Quantization(of: store)
            found.append((name, quantization.flatMap { $0.parts.isDisjoint(with: wanted) ? nil : $0 }))
        }
        guard let first = found.lazy.compactMap(\.quantization).first else { return (nil, []) }
        guard found.allSatisfy({ $0.quantization?.scheme == first.scheme }) else { throw mixed(found) }
        return (first, found.reduce(into: []) { $0.formUnion($1.quantization?.parts ?? []) })
    }

    /// Makes sure that models whose parts go into one result, which has one configuration, are quantised in one way.
    ///
    /// - Parameter models: with what errors call them.
    /// - Throws: `input.quantized` when only some are quantised, or when their configurations say different things of it.
    package static func requireOneQuantization(
        of models: [(name: String, store: TensorStore)]
    ) throws(WeightsError) {
        let found = models.map { ($0.name, quantization: Quantization(of: $0.store)) }
        guard let place = found.firstIndex(where: { $0.quantization != nil }), let first = found[place].quantization
        else { return }
        let settings = models.map { QuantizationConfig(beside: $0.store.path).settings?.comparableText }
        guard
            let other = models.indices.first(where: {
                found[$0].quantization?.scheme != first.scheme || settings[$0] != settings[place]
            })
        else { return }
        let names = [models[place], models[other]].map { $0.name.escapingControlCharacters }
        throw WeightsError(
            reason: .quantized,
            message: "\(names[0]) is \(first.phrase), and \(names[1]) is not, or not by the same settings: "
                + "a result of parts of both would have one configuration, that is wrong for one of them",
            file: models[other].store.path.string, tensor: nil,
            hint: "write the numbers of each model first, with convert --dequantize")
    }
}
