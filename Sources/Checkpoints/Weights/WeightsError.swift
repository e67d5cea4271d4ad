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

    /// - Parameter problem: what cannot be done with the parts, such as "they cannot be averaged one by one".
    public static func quantized(
        _ name: String, _ quantization: Quantization, parts: [TensorName], file: FilePath, problem: String
    ) -> WeightsError {
        let tensors = parts.count == 1 ? "1 tensor" : "\(parts.count) tensors"
        let example = parts.first.map { ", such as \"\($0)\"," } ?? ""
        return WeightsError(
            reason: .quantized,
            message: "\(name.escapingControlCharacters) is \(quantization.phrase): \(tensors)\(example) "
                + "\(parts.count == 1 ? "is a part" : "are parts") of quantised weights, and \(problem)",
            file: file.string, tensor: parts.first?.description, hint: quantization.scheme.remedy)
    }

    /// Models of which only some are quantised, or not in one way.
    ///
    /// - Parameter models: their names, nil for one that is not quantised.
    public static func mixed(_ models: [(name: String, quantization: Quantization?)]) -> WeightsError {
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

    public static func adapter(_ name: String, factor: TensorName, file: FilePath) -> WeightsError {
        WeightsError(
            reason: .adapter,
            message:
                "\(name.escapingControlCharacters) is an adapter: tensors such as \"\(factor)\" are factors, and what "
                + "counts is their product, which merging them one by one does not merge",
            file: file.string, tensor: factor.description,
            hint: "fold it into its base first: PeftModel.from_pretrained(base, folder).merge_and_unload()"
                + ".save_pretrained(output), and merge the results")
    }
}
