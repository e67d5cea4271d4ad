import Checkpoints

extension CheckpointFormat {
    /// Makes sure that options about some formats were not given for an output of another.
    ///
    /// - Parameter given: the names of the options that were given, without dashes.
    /// - Throws: `UsageError` that names the option and the outputs that it is for.
    static func require(_ given: [String], forOutput id: FormatID?) throws(UsageError) {
        let fitting = id.map { of($0).options } ?? []
        guard let name = given.first(where: { name in !fitting.contains { $0.name == name && $0.use == .writing } })
        else { return }
        let owners = all.filter { $0.options.contains { $0.name == name && $0.use == .writing } }
        let endings = owners.map { ".\($0.extensions[0])" }.joined(separator: " and ")
        throw UsageError("--\(name) is for \(endings) outputs", hint: "end the output in \(endings)")
    }
}
