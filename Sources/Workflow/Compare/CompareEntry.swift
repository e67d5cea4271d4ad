/// One entry of the list of work that a comparison stands for, which a process can carry out alone: `expert/3/digits`, `merge/3`.
public enum CompareEntry: WorkEntry {
    /// Computes what the experts that a merge asks for are held to in common. The merge is a number from 1, in the order of the recipes
    /// and their lists.
    case teachers(merge: Int)
    /// Adapts one expert as a merge asks for it.
    case expert(String, merge: Int)
    /// Merges and measures.
    case merge(Int)
    /// Puts the figures of all merges side by side.
    case table

    public static var forms: String { "teachers/NUMBER, expert/NUMBER/NAME, merge/NUMBER or table" }

    /// Reads a name; nil when it is none.
    public init?(_ name: String) {
        let words = name.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
        let number = words.count > 1 ? Int(words[1]).flatMap { $0 > 0 ? $0 : nil } : nil
        switch (words[0], words.count, number) {
        case ("table", 1, _): self = .table
        case ("teachers", 2, let number?): self = .teachers(merge: number)
        case ("merge", 2, let number?): self = .merge(number)
        case ("expert", 3, let number?): self = .expert(words[2], merge: number)
        default: return nil
        }
    }

    public var description: String {
        switch self {
        case .table: stage
        case .teachers(let number), .merge(let number): "\(stage)/\(number)"
        case .expert(let name, let number): "\(stage)/\(number)/\(name)"
        }
    }

    public var stage: String {
        switch self {
        case .table: "table"
        case .teachers: "teachers"
        case .merge: "merge"
        case .expert: "expert"
        }
    }
}
