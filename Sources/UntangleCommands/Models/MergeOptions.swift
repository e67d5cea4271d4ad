import ArgumentParser
import Merging

/// How experts are merged, on the command line.
struct MergeParameterOptions: ParsableArguments {
    @Option(
        parsing: .singleValue,
        help: ArgumentHelp(
            "Set a parameter of the method, such as lambda=0.3, or weight=1,0.5 for one value per expert; repeatable.",
            valueName: "key=value"))
    var set: [String] = []

    func parameters(over stated: MergeParameters = MergeParameters()) throws -> MergeParameters {
        var parameters = stated
        for assignment in set { try parameters.set(assignment) }
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
