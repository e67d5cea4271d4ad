import ArgumentParser
import Checkpoints

/// Names of tensors that differ between models.
struct MapOptions: ParsableArguments {
    @Option(
        parsing: .singleValue,
        help: ArgumentHelp(
            "Rename tensors: where FROM stands in a name as whole parts between dots, TO does instead. 'model=' takes model. away, "
                + "'=model' puts it before. Names that the base has already (the first model, where there is no base) stay. "
                + "Repeatable, applied in order.", valueName: "from=to"))
    var map: [String] = []

    /// The rules.
    ///
    /// - Throws: `RenameError` `usage.map`.
    func nameMap() throws(RenameError) -> NameMap { try NameMap(map) }
}
