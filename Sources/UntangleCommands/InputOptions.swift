import ArgumentParser
import Checkpoints
import Pipeline
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

    /// What the readers need to know.
    ///
    /// - Parameters:
    ///   - base: of a .skein file that is stored against one.
    ///   - sharedBase: the base of the experts that are worked on, for those whose own is not found.
    func readOptions(
        base: FilePath? = nil, sharedBase: FilePath? = nil, threads: Int, salvaging: Bool = false
    ) -> ReadOptions {
        ReadOptions(npyVoid: npyVoid, base: base, sharedBase: sharedBase, salvaging: salvaging, threads: threads)
    }
}

extension DType: ExpressibleByArgument {
    /// Reads a name of the format specification in upper or lower case, or the one that PyTorch and recipes have.
    public init?(argument: String) {
        let name = argument.lowercased()
        guard let dtype = Self.allCases.first(where: { $0.rawValue.lowercased() == name || $0.configName == name })
        else { return nil }
        self = dtype
    }

    /// None: twenty types would drown every help page, and no option takes all of them.
    public static var allValueStrings: [String] { [] }

    public static var defaultCompletionKind: CompletionKind { .list(allCases.map(\.rawValue)) }
}

extension FilePath: @retroactive ExpressibleByArgument {
    public init?(argument: String) {
        guard !argument.isEmpty else { return nil }
        self.init(argument)
    }

    public static var defaultCompletionKind: CompletionKind { .file() }
}
