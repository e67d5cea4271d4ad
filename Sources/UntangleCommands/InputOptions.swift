import ArgumentParser
import Checkpoints
import SystemPackage
import TensorCore

/// What the user says about an input that its bytes do not.
struct InputOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The type that void (V1, V2) and <f1 elements of NumPy files stand for, such as BF16.", valueName: "type"))
    var npyVoid: DType?

    func validate() throws {
        guard let npyVoid else { return }
        guard npyVoid.bitWidth == 8 || npyVoid.bitWidth == 16 else {
            throw ValidationError("--npy-void \(npyVoid.rawValue) is not a type of 8 or 16 bits")
        }
    }

    var readOptions: ReadOptions { ReadOptions(npyVoid: npyVoid) }

    /// What the readers need to know.
    ///
    /// - Parameter base: of a .skein file that is stored against one.
    func readOptions(base: FilePath?, threads: Int, salvaging: Bool = false) -> ReadOptions {
        ReadOptions(npyVoid: npyVoid, base: base, salvaging: salvaging, threads: threads)
    }
}

extension DType: ExpressibleByArgument {
    /// Reads a name of the format specification in upper or lower case.
    public init?(argument: String) { self.init(rawValue: argument.uppercased()) }

    public static var allValueStrings: [String] { allCases.map(\.rawValue) }
}

extension FilePath: @retroactive ExpressibleByArgument {
    public init?(argument: String) {
        guard !argument.isEmpty else { return nil }
        self.init(argument)
    }

    public static var defaultCompletionKind: CompletionKind { .file() }
}
