import TensorCore

/// New names for the tensors of a checkpoint: rules that are applied one after the other. No two tensors get one name.
public struct Renaming: Sendable {
    public var rules: [TensorRename]

    public init(_ rules: [TensorRename]) { self.rules = rules }

    /// What became of the names.
    public struct Result: Sendable {
        /// In the order of the old ones.
        public let names: [TensorName]
        /// The places of the rules that have changed a name.
        public let usedRules: Set<Int>
    }

    /// Two tensors that would have one name.
    public struct Collision: Hashable, Sendable {
        public let first, second, name: TensorName

        public var message: String { "\"\(first)\" and \"\(second)\" would both be named \"\(name)\"" }
    }

    /// Applies the rules.
    ///
    /// - Parameters:
    ///   - isKept: whether a name is as it should be; no rule touches it any more.
    ///   - collision: the error for two tensors that would have one name.
    /// - Throws: that error; `RenameError` when a replacement names a group that its pattern does not have.
    public func names(
        of old: [TensorName], keeping isKept: (TensorName) -> Bool = { _ in false },
        collision: (Collision) -> any Error
    ) throws -> Result {
        let rules = try rules.map { try $0.compiled() }
        var originals: [TensorName: TensorName] = [:]
        var used: Set<Int> = []
        let names = try old.map { original in
            var name = original
            for (place, rule) in rules.enumerated() where !isKept(name) {
                let renamed = try rule(name)
                if renamed != name { used.insert(place) }
                name = renamed
            }
            if let first = originals.updateValue(original, forKey: name) {
                throw collision(Collision(first: first, second: original, name: name))
            }
            return name
        }
        return Result(names: names, usedRules: used)
    }

    /// What is warned of for rules that have changed no name.
    public func warnings(unusedBut used: Set<Int>) -> [Warning] {
        rules.enumerated().filter { !used.contains($0.offset) }.map {
            Warning(WeightsWarning.unusedRename, "no tensor has a name that \($0.element.option) changes")
        }
    }
}
