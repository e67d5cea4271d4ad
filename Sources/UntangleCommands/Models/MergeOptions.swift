import ArgumentParser
import Merging
import TensorCore

/// How experts are merged, on the command line.
struct MergeParameterOptions: ParsableArguments {
    @Option(
        parsing: .singleValue,
        help: ArgumentHelp(
            "Set a parameter of the method, such as lambda=0.3, or weight=1,0.5 for one value per expert; repeatable.",
            valueName: "key=value"))
    var set: [String] = []

    /// The parameters that are set, over others.
    ///
    /// - Throws: `merge.bad_parameter`; a usage error for one that is set twice.
    func parameters(over stated: MergeParameters = MergeParameters()) throws -> MergeParameters {
        var parameters = stated
        var names: Swift.Set<Substring> = []
        for assignment in set {
            try parameters.set(assignment)
            let name = assignment.prefix { $0 != "=" }
            guard names.insert(name).inserted else {
                throw UsageError(
                    "--set gives \(String(name).escapingControlCharacters) twice",
                    hint: "one value for each expert is written with commas: --set weight=1,0.5")
            }
        }
        return parameters
    }
}

/// Tensors that a merge leaves as they are.
struct KeepOptions: ParsableArguments {
    @Option(
        parsing: .singleValue,
        help: ArgumentHelp(
            "Take tensors whose name matches the pattern from the base as they are, or from the first model without one; "
                + "repeatable.", valueName: "glob"))
    var keepBase: [String] = []
}
