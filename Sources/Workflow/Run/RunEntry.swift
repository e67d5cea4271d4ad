/// One entry of the list of work that a recipe stands for, which a process can carry out alone: `expert/digits`, `merge`.
public enum RunEntry: WorkEntry {
    /// The merges of the documents that the recipe builds upon.
    case documents
    /// Computes what all experts are held to in common.
    case teachers
    /// Adapts one expert.
    case expert(String)
    case merge
    /// Measures, and writes the report.
    case measure

    public static var forms: String { "documents, teachers, expert/NAME, merge or measure" }

    /// Reads a name; nil when it is none.
    public init?(_ name: String) {
        switch name {
        case "documents": self = .documents
        case "teachers": self = .teachers
        case "merge": self = .merge
        case "measure": self = .measure
        default:
            guard name.hasPrefix("expert/") else { return nil }
            self = .expert(String(name.dropFirst("expert/".count)))
        }
    }

    public var description: String {
        switch self {
        case .documents, .teachers, .merge, .measure: stage
        case .expert(let name): "\(stage)/\(name)"
        }
    }

    public var stage: String {
        switch self {
        case .documents: "documents"
        case .teachers: "teachers"
        case .expert: "expert"
        case .merge: "merge"
        case .measure: "measure"
        }
    }
}
