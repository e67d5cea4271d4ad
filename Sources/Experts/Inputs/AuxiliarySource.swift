import Checkpoints
import Interference
import Kernels
import Networks
import SystemPackage
import TensorCore
import Work

/// Where unlabelled auxiliary inputs come from.
public enum AuxiliarySource: Sendable, Hashable {
    /// A file or folder of data; classes, if there are any, are not looked at.
    case file(FilePath)
    /// Inputs that are made on the spot.
    case generated(GeneratedInputs)

    /// The name of what is made, or the path of data.
    public init(_ text: String, count: Int = GeneratedInputs.defaultCount, seed: UInt64 = 0) {
        self =
            GeneratedInputs.Kind(rawValue: text).map { .generated(GeneratedInputs($0, count: count, seed: seed)) }
            ?? .file(FilePath(text))
    }

    /// Makes sure that data is there, so that what is none is found out before anything else is done.
    ///
    /// - Throws: what `DataFile.check` throws.
    package func check() throws {
        guard case .file(let path) = self else { return }
        guard fileExists(path) else {
            throw IOError(
                kind: .notFound, message: "there is no \(path.string)", file: path.string,
                hint: nearestName(to: path.string, among: GeneratedInputs.Kind.allCases.map(\.rawValue)).map {
                    "did you mean \"\($0)\", which is made on the spot?"
                })
        }
        try DataFile.check(path)
    }

    /// The files that the inputs are read from.
    package var input: JobInput {
        switch self {
        case .file(let path): DataFile.input("auxiliary", path)
        case .generated: JobInput("auxiliary", [])
        }
    }

    /// What else they depend on: the tokenizer where texts are cut into pieces, and what says how pictures are prepared.
    package func companions(of backbone: Backbone) -> [JobInput] {
        let source: DataSource? =
            switch self {
            case .file(let path): DataSource(at: path)
            case .generated(let inputs): inputs.kind == .tokens ? .texts(.plain) : nil
            }
        return switch source {
        case .texts where fileExists(backbone.tokenizerPath): [JobInput("tokenizer", [backbone.tokenizerPath])]
        case .pictures:
            [
                JobInput(
                    "preparation", [backbone.files.main.file] + [backbone.files.preprocessor?.file].compactMap { $0 })
            ]
        case .texts, .arrays, nil: []
        }
    }

    /// What is made, as settings have it; nil for a file, whose contents count.
    package var generatedText: String? {
        guard case .generated(let inputs) = self else { return nil }
        return "\(inputs.kind.rawValue), \(inputs.count) from seed \(inputs.seed)"
    }

    /// The inputs, as a backbone takes them.
    ///
    /// - Parameter limit: the inputs that are needed, the first so many; nil for all.
    /// - Throws: what `DataFile` and `GeneratedInputs` throw.
    package func inputs(for backbone: Backbone, limit: Int? = nil, in context: Context) throws -> InputSet {
        switch self {
        case .file(let path):
            let file = try DataFile(path, for: backbone, limit: limit, in: context)
            file.warnings.forEach(context.warn)
            return file.inputs
        case .generated(let inputs): return try inputs.inputs(for: backbone, in: context)
        }
    }
}
