import TensorCore

/// What people should know about how a tensor was merged.
package struct MergeRemark: Sendable, Hashable {
    let kind: Kind
    /// With the numbers of this tensor.
    let text: String

    /// What is said of a tensor whose matrices have remarks, by their numbers: the first of them.
    init?(_ remarks: [Int: MergeRemark], of tensor: TensorDescriptor) {
        guard let (number, first) = remarks.min(by: { $0.key < $1.key }) else { return nil }
        kind = first.kind
        guard tensor.isStackOfExperts else {
            text = first.text
            return
        }
        let rest = remarks.count == 1 ? "" : "; \(remarks.count - 1) more alike"
        text = "matrix \(number + 1) of \(tensor.shape.dims[0]): \(first.text)\(rest)"
    }

    init(kind: Kind, text: String) {
        self.kind = kind
        self.text = text
    }

    enum Kind: Sendable, Hashable, CaseIterable {
        /// Singular directions that hold nothing but rounding were left out.
        case rank
        /// No expert has a direction of its own, because there are more of them than rows or columns.
        case crowded
        /// Statistics do not determine the layer, and something was added to them.
        case underdetermined
        /// Fewer entries of a core are kept than it has directions.
        case sparse

        /// One line about all tensors of this kind.
        func summary(count: Int, first: TensorName) -> Warning {
            let tensors = count == 1 ? "tensor \"\(first)\"" : "\(count) tensors, such as \"\(first)\","
            let verb = count == 1 ? "has" : "have"
            let (code, text): (MergeWarning, String) =
                switch self {
                case .rank:
                    (
                        .rank,
                        "\(tensors) \(verb) task vectors of less than full rank; directions beyond the rank were left out"
                    )
                case .crowded:
                    (
                        .crowded,
                        "\(tensors) \(verb) fewer rows or columns than there are experts; nothing of the task vectors was kept"
                    )
                case .sparse:
                    (
                        .sparse,
                        "\(tensors) \(verb) fewer entries kept than each expert has directions there; see `keep`"
                    )
                case .underdetermined:
                    (
                        .underdetermined,
                        "\(tensors) \(verb) statistics that do not determine the layer; a little was added to their diagonal"
                    )
                }
            return Warning(code, text)
        }
    }
}
