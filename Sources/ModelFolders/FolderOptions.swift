import Checkpoints
import Merging
import SystemPackage

/// What a folder holds beside the weights, and where it comes from.
public struct FolderOptions: Sendable {
    /// The recipe, as its author wrote it or one that says the same as the arguments of the merge.
    public var recipe: String
    /// Whether the recipe says other things, too, as a file of several documents does to those that others build upon: a change in
    /// it then makes no other model.
    public var isRecipeShared: Bool
    /// Options of the command line without which the recipe makes another model, as they are typed in a shell.
    public var overrides: [String]
    /// The model whose tokenizer goes along: its file or folder; nil stands for the model whose configuration does.
    public var tokenizer: FilePath?
    public var chatTemplate: ChatTemplate?

    public init(
        recipe: String, isRecipeShared: Bool = false, overrides: [String] = [], tokenizer: FilePath? = nil,
        chatTemplate: ChatTemplate? = nil
    ) {
        self.recipe = recipe
        self.isRecipeShared = isRecipeShared
        self.overrides = overrides
        self.tokenizer = tokenizer
        self.chatTemplate = chatTemplate
    }
}

/// What went into a folder beside the weights.
public struct FolderReport: Sendable, Hashable {
    /// The model whose configuration went along.
    public let donor: String
    /// Files that were copied.
    public let copied: [String]
    /// Files of the donor that were not.
    public let leftOut: [String]
    /// What was changed in `config.json`; nil when there is none.
    public let configChanges: [String]?
    public let sanity: MergeSanity
}
