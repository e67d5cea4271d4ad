import ArgumentParser
import Checkpoints
import SystemPackage
import TensorCore

/// What the user says about an input that its bytes do not.
struct InputOptions: ParsableArguments {
    @Option(
        parsing: .singleValue,
        help: ArgumentHelp(
            "The type that void (V1, V2) and <f1 elements of NumPy files stand for, such as BF16, or V1=F8_E4M3 for those "
                + "alone; repeatable.", valueName: "type"), transform: VoidName.init)
    var npyVoid: [VoidName] = []

    @Option(
        help: ArgumentHelp(
            "The part of PyTorch files to read, such as the model of a checkpoint with an optimiser, by its dotted name; . is all, "
                + "also what lies in lists and the tensors of TorchScript.", valueName: "name"))
    var root: String?

    @OptionGroup var place: SubfolderOption
    var subfolder: FilePath? { place.subfolder }

    func validate() throws {
        if root?.isEmpty == true { throw ValidationError("--root needs the name of a part, or . for all") }
        _ = try voidTypes
    }

    /// What the void elements stand for, by kind.
    ///
    /// - Throws: a usage error when one kind of element gets two types.
    private var voidTypes: VoidTypes {
        get throws {
            var types = VoidTypes()
            for name in npyVoid {
                for element in name.elements {
                    if let other = types[element], other != name.dtype {
                        throw ValidationError(
                            "--npy-void says that \(element.rawValue) is \(other.rawValue), and that it is \(name.dtype.rawValue)"
                        )
                    }
                    types[element] = name.dtype
                }
            }
            return types
        }
    }

    /// What the readers need to know.
    ///
    /// - Parameters:
    ///   - selection: the tensors that the command works on.
    ///   - base: of a .skein file that is stored against one.
    ///   - sharedBase: the base of the experts that are worked on, for those whose own is not found.
    ///   - memoryByteCount: the most that a tensor may take which is decoded whole.
    func readOptions(
        selection: TensorSelection = TensorSelection(), base: FilePath? = nil, sharedBase: FilePath? = nil,
        threads: Int, salvaging: Bool = false, memoryByteCount: Int? = nil
    ) throws -> ReadOptions {
        ReadOptions(
            selection: selection, npyVoid: try voidTypes, root: root, base: base, sharedBase: sharedBase,
            salvaging: salvaging,
            threads: threads, memoryByteCount: memoryByteCount)
    }
}

/// `TYPE`, for all elements of its size, or `V1=TYPE`, `V2=TYPE`, `f1=TYPE`.
struct VoidName {
    let elements: [VoidTypes.Element]
    let dtype: DType
    /// As it was typed.
    let text: String

    init(_ argument: String) throws {
        let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard let dtype = DType(argument: parts[parts.count - 1]) else {
            throw ValidationError("there is no type \(parts[parts.count - 1])")
        }
        let fitting = VoidTypes.Element.allCases.filter { $0.bitWidth == dtype.bitWidth }
        guard !fitting.isEmpty else { throw ValidationError("\(dtype.rawValue) is not a type of 8 or 16 bits") }
        if parts.count == 1 {
            elements = fitting
        } else {
            guard let element = VoidTypes.Element(argument: parts[0]) else {
                throw ValidationError("elements without a type are V1, V2 and f1, and not \(parts[0])")
            }
            guard fitting.contains(element) else {
                throw ValidationError("\(element.rawValue) has \(element.bitWidth) bits and \(dtype.rawValue) has not")
            }
            elements = [element]
        }
        self.dtype = dtype
        text = argument
    }
}

extension VoidTypes.Element {
    /// Reads a name in upper or lower case.
    fileprivate init?(argument: String) {
        guard let element = Self.allCases.first(where: { $0.rawValue.lowercased() == argument.lowercased() }) else {
            return nil
        }
        self = element
    }
}

extension DType: ExpressibleByArgument {
    /// Reads a name of the format specification in upper or lower case, or the one that PyTorch has.
    public init?(argument: String) {
        let name = argument.lowercased()
        guard let dtype = Self.allCases.first(where: { $0.rawValue.lowercased() == name || $0.torchName == name })
        else { return nil }
        self = dtype
    }

    /// None: twenty types would drown every help page, and no option takes all of them.
    public static var allValueStrings: [String] { [] }

    public static var defaultCompletionKind: CompletionKind { .list(allCases.map(\.rawValue)) }
}

extension CheckpointSource: ExpressibleByArgument {
    public init?(argument: String) {
        guard !argument.isEmpty else { return nil }
        self.init(argument)
    }

    public static var defaultCompletionKind: CompletionKind { .file() }
}

extension FilePath: @retroactive ExpressibleByArgument {
    public init?(argument: String) {
        guard !argument.isEmpty else { return nil }
        self.init(argument)
    }

    public static var defaultCompletionKind: CompletionKind { .file() }
}
