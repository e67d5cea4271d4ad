import Merging

extension MergeParameters {
    /// The stated values as a text with a fixed order, for signatures.
    var settings: String {
        func text(_ values: [String: ParameterValue]) -> String {
            values.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ";")
        }
        return ([text(values)] + experts.map(text)).joined(separator: "\n")
    }
}
