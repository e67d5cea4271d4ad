import Kernels
import Reporting
import TensorCore
import Transcoding

extension [TensorLosses] {
    /// A line for each tensor and kind of loss, but not a hundred lines.
    var warnings: [Warning] {
        warnings(ConversionWarning.overflow, \.overflowCount) {
            $0.hasInfinity ? ("finite ", "infinite", "") : ("", "NaN", ", which has no infinity")
        }
            + warnings(ConversionWarning.underflow, \.underflowCount) { _ in ("", "zero", "") }
    }

    private func warnings(
        _ code: ConversionWarning, _ count: KeyPath<CastLosses, Int>,
        words: (DType) -> (kind: String, result: String, reason: String)
    ) -> [Warning] {
        let shown = 10
        let found = filter { $0.losses[keyPath: count] > 0 }
        var lines = found.prefix(shown).map { tensor in
            let (kind, result, reason) = words(tensor.dtype)
            let number = tensor.losses[keyPath: count]
            return Warning(
                code,
                "\(number.grouped) \(kind)\(number == 1 ? "value" : "values") of tensor \"\(tensor.tensor)\" became "
                    + "\(result) as \(tensor.dtype.rawValue)\(reason)")
        }
        let rest = found.dropFirst(shown)
        if let first = rest.first {
            let (kind, result, _) = words(first.dtype)
            let number = rest.reduce(0) { $0 + $1.losses[keyPath: count] }
            lines.append(
                Warning(code, "\(number.grouped) \(kind)values of \(rest.count.grouped) more tensors became \(result)"))
        }
        return lines
    }

    /// A row for each tensor of which numbers were lost in one way.
    func section(_ name: String, _ count: KeyPath<CastLosses, Int>) -> Report.Section {
        let found = filter { $0.losses[keyPath: count] > 0 }
        return .table(
            Report.Table(
                name, ["tensor", "dtype", "count"].map { Report.Column($0, nil) },
                rows: found.map {
                    [.text($0.tensor.text), .text($0.dtype.rawValue), .integer($0.losses[keyPath: count])]
                }))
    }
}
