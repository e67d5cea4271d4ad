import Checkpoints
import Merging
import SystemPackage
import TensorCore
import Work

/// What goes into the folder of a merged model besides its weights, as far as it is known before the merge: of the model card the
/// models, and all other files.
package struct FolderContents {
    /// Files that go along as they are, unless one of the same name is written.
    let companions: CompanionFiles
    /// Files with contents of their own.
    let written: [(name: String, contents: [UInt8])]
    /// What was changed in `config.json`; nil when there is none.
    let configChanges: [String]?
    /// In the order of the merge.
    let models: [Model]
    let warnings: [Warning]
    private let options: FolderOptions

    /// A model as the card has it.
    struct Model {
        let name: String
        let isBase: Bool
        /// Those that hold its weights, and those that say what numbers they are.
        let files: [FilePath]
    }

    /// Reads the donor's files.
    ///
    /// - Throws: what reading and editing them throws.
    package init(of plan: StackedMerge, inputs: MergeInputs, options: FolderOptions) throws {
        self.options = options
        let donor = inputs.donor
        var companions = Self.companions(of: donor)
        if let tokenizer = options.tokenizer {
            companions = companions.replacingTokenizer(by: try Self.companions(of: tokenizer))
        }
        let wasQuantized = !donor.original.quantizedWeights.isEmpty
        if wasQuantized { companions.leaveOut(QuantizationConfig.files) }
        self.companions = companions
        var written: [(name: String, contents: [UInt8])] = []
        var warnings: [Warning] = []
        if let template = options.chatTemplate {
            let models = [companions] + inputs.others.map(Self.companions)
            if let text = template.text(of: models) {
                written += try ChatTemplate.files(with: text, replacing: companions)
            } else {
                warnings.append(
                    Warning(FolderWarning.noChatTemplate, "no model has a chat template, so the result has none"))
            }
        }
        let config = try donor.folder?.config?.rewritten(
            from: donor.original.baseDescriptors, to: plan.outputs, isTied: inputs.isTied, wasQuantized: wasQuantized)
        if let config { written.append((ModelConfig.fileName, config.text)) }
        configChanges = config?.changes
        let recipe = RecipeOverrides.noted(options.overrides, above: options.recipe)
        written.append((MergedFolder.recipeName, Array(recipe.utf8)))
        self.written = written
        self.warnings = warnings + (config?.warnings ?? [])
        models = inputs.models.enumerated().map { place, model in
            let isBase = inputs.hasBase && place == 0
            return Model(
                name: isBase ? model.original.path.modelName : model.name, isBase: isBase,
                files: model.store.reader.files.filter { ShardIndexName($0.lastComponent?.string ?? "") == nil })
        }
    }

    /// The companions that go along as they are.
    var copied: [CompanionFiles.File] {
        let replaced = Set(written.map(\.name))
        return companions.copied.filter { !replaced.contains($0.name) }
    }

    /// What sets folders of the same weights apart: the digest of every file, and what the card says of program and models. A recipe
    /// that is shared is left out.
    ///
    /// - Throws: `IOError` when a file cannot be read.
    package func parts() throws -> [Fingerprint.Part] {
        var digests = try copied.map { ($0.name, try FileDigests.digest(of: $0.path)) }
        for file in written where !(options.isRecipeShared && file.name == MergedFolder.recipeName) {
            digests.append((file.name, file.contents.withUnsafeBytes { TensorDigest(of: $0) }))
        }
        return digests.sorted { $0.0 < $1.0 }.map { Fingerprint.Part("file \($0)", $1.hexadecimal) }
            + [Fingerprint.Part("program", ToolVersion.program)]
            + models.enumerated().map { place, model in
                let names =
                    [model.name, model.files.first?.hubName ?? ""] + model.files.map { $0.lastComponent?.string ?? "" }
                return Fingerprint.Part("name \(place + 1)", names.joined(separator: "/"))
            }
    }

    private static func companions(of model: MergeInputs.Model) -> CompanionFiles {
        model.folder?.companions(of: model.original.path) ?? CompanionFiles()
    }

    private static func companions(of path: FilePath) throws -> CompanionFiles {
        let store = try TensorStore(opening: path)
        return ModelFolder(of: store)?.companions(of: store.path) ?? CompanionFiles()
    }
}
