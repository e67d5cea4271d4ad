import Checkpoints
import Experts
import Interference
import Merging
import ModelFolders
import SystemPackage
import TensorCore
import Work

/// What to merge and how, as one document of a recipe file says it: mergekit's keys, and ours for resolving, measuring and
/// writing.
///
/// Paths are already relative to the current folder, not to the recipe.
public struct Recipe: Sendable {
    /// The recipe file itself.
    public var path: FilePath
    /// The file as it is written, with all documents.
    public var text: String
    /// Where the document begins.
    public var position: TextPosition?
    /// What other documents call the result; without meaning in a file of one document.
    public var name: String?
    /// Whether other documents of the file build upon the result.
    public var isIntermediate = false
    public var mergeMethod: String
    /// The models that the recipe names, each once, the base first; what else speaks of them does so by their places here.
    public var models: [Model]
    /// The place of the base.
    public var basePlace: Int?
    /// What is merged, in the order of the result. A list of models is one slice with all layers.
    public var slices: [Slice]
    /// Parameters of the whole merge.
    public var parameters: ParameterScope
    /// Where the recipe last speaks of a parameter, by its name.
    public var parameterPositions: [String: TextPosition]
    /// Whether layers get new numbers, because the recipe has slices.
    public var isStacked: Bool
    /// The type of the merged tensors; nil keeps that of the base or the first expert.
    public var outputDType: DType?
    /// Patterns of tensors that are taken from the base, or from the first model without one, as they are.
    public var keepBase: [String]
    /// Rules that give the tensors of other models the names that those of the base, or of the first model without one, have.
    public var map: NameMap
    /// Which tokenizer goes along with a folder; nil takes that of `donor` as it is.
    public var tokenizer: TokenizerChoice?
    /// Where the recipe speaks of the tokenizer.
    public var tokenizerPosition: TextPosition?
    public var chatTemplate: ChatTemplate?
    public var resolve: Resolve?
    public var distill: Distill?
    /// Where the merged checkpoint goes.
    public var output: OutputPlace?
    /// Where reports go; their extensions choose the formats.
    public var reports: [FilePath]
    /// How data is read that is no array.
    public var data: DataOptions
    /// Keys that were ignored and other remarks.
    public var warnings: [Warning]

    /// One model, and for an expert what belongs to it.
    public struct Model: Sendable {
        public var reference: ModelReference
        /// What it is called in reports and errors, distinct among experts.
        public var name: String
        public var head: FilePath?
        public var data: FilePath?

        public var path: FilePath { reference.path }
    }

    /// Layers that are merged with one another and follow each other in the result.
    public struct Slice: Sendable {
        /// Nil under methods that take no base, unless the change from it is scaled by depth.
        public var base: Source?
        public var experts: [Source]
        public var parameters: ParameterScope
        /// Of the module that the slice belongs to, which go after those of the slice.
        public var moduleParameters: ParameterScope
        public var position: TextPosition?
    }

    /// What a slice takes from one model.
    public struct Source: Sendable {
        /// The place of the model.
        public var model: Int
        /// Nil takes all layers.
        public var layers: Range<Int>?
        public var parameters: ParameterScope
        public var position: TextPosition?
    }

    /// Whose tokenizer goes along with the result.
    public enum TokenizerChoice: Sendable, Hashable {
        /// The one of the base, or of the first model without one.
        case base
        /// The one of the model at a place.
        case model(Int)
        /// All tokens of all models.
        case union
    }

    /// How to resolve interference before merging.
    public struct Resolve: Sendable {
        /// Nil where the options look at none.
        public var auxiliary: AuxiliarySource?
        public var options: ResolverOptions
        /// Where the adapted experts go.
        public var output: FilePath?
        /// How many steps lie between two states that are kept; nil keeps none.
        public var saveEvery: Int?
    }

    /// How the merged model is trained on what the experts say.
    public struct Distill: Sendable {
        /// The inputs that the merged model is trained on.
        public var auxiliary: AuxiliarySource
        /// How it is trained.
        public var options: ResolverOptions
        /// How many steps lie between two states that are kept; nil keeps none.
        public var saveEvery: Int?
    }

    /// The model whose tokenizer goes along with a folder instead of that of `donor`.
    public var tokenizerModel: Model? {
        if case .model(let place) = tokenizer { models[place] } else { nil }
    }

    public var baseModel: Model? { basePlace.map { models[$0] } }

    /// The place of the model whose metadata, and in a folder configuration and tokenizer, the result inherits.
    public var donorPlace: Int? { basePlace ?? slices.first?.experts.first?.model }
}
