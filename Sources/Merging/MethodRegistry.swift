import TensorCore

/// The merge methods by name.
public enum MergeMethods {
    /// In the order in which they are listed to people.
    public static let all: [any MergeMethod] = [Linear(), Average(), TaskArithmetic(), TIES(), TSVM(), IsoC()]

    /// - Throws: `merge.unknown_method` with the nearest name.
    public static func named(_ name: String) throws(MergeError) -> any MergeMethod {
        if let method = all.first(where: { $0.info.name == name }) { return method }
        let names = all.map(\.info.name)
        let known = "known methods: \(names.joined(separator: ", "))"
        let hint = nearestName(to: name, among: names).map { "did you mean \"\($0)\"? \(known)" } ?? known
        throw MergeError(.unknownMethod, "there is no merge method \"\(name)\"", hint: hint)
    }
}
