import SystemPackage
import TensorCore

/// Rules `FROM=TO` that give the tensors of some checkpoints the names that another one has for them.
///
/// A rule changes every name of which FROM is a run of whole parts between dots, wherever it stands. A name that the other checkpoint
/// has already is left alone, so that what fits stays, and so does a name as soon as a rule has made it one.
public struct NameMap: Sendable, Hashable {
    /// The rules as they are written, in the order in which they are applied.
    public let rules: [String]
    public let renames: [TensorRename]

    /// Changes nothing.
    public init() { (rules, renames) = ([], []) }

    /// Reads rules.
    ///
    /// - Throws: `RenameError` `usage.map` that says what is wrong with one.
    public init(_ rules: [String]) throws(RenameError) {
        var renames: [TensorRename] = []
        for rule in rules { renames.append(try TensorRename(map: rule)) }
        self.rules = rules
        self.renames = renames
    }

    public static func == (a: NameMap, b: NameMap) -> Bool { a.rules == b.rules }
    public func hash(into hasher: inout Hasher) { hasher.combine(rules) }

    /// As it is typed: `--map model=`.
    public var options: String { renames.map(\.option).joined(separator: " ") }

    /// Gives checkpoints the names of another one.
    ///
    /// - Parameters:
    ///   - reference: the checkpoint whose names are wanted.
    ///   - warn: told of the rules that change no name of any checkpoint.
    /// - Throws: `input.duplicate_name` when two tensors of a checkpoint would have one name.
    public func applied(
        to stores: [TensorStore], toMatch reference: TensorStore, warn: (Warning) -> Void
    ) throws -> [TensorStore] {
        guard !rules.isEmpty else { return stores }
        let renaming = Renaming(renames)
        var used: Set<Int> = []
        let renamed = try stores.map { store in
            let result = try renaming.names(
                of: store.descriptors.map(\.name), keeping: { reference.index(of: $0) != nil },
                collision: { collision in
                    InputError(
                        .duplicateName, "in \(store.path.string) \(collision.message)", file: store.path,
                        tensor: collision.second, hint: "\(options) makes names meet: change it, or leave one out")
                })
            used.formUnion(result.usedRules)
            return result.usedRules.isEmpty ? store : store.renamed(result.names)
        }
        renaming.warnings(unusedBut: used).forEach(warn)
        return renamed
    }
}
