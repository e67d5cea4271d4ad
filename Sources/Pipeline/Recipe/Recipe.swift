import Interference
import Merging
import SystemPackage
import TensorCore

/// What to merge and how, as a recipe file says it: mergekit's keys, and ours for resolving, measuring and writing.
///
/// Paths are already relative to the current folder, not to the recipe.
public struct Recipe: Sendable {
    /// The recipe file itself.
    public var path: FilePath
    public var mergeMethod: String
    public var baseModel: FilePath?
    public var models: [Model]
    public var parameters: MergeParameters
    public var outputDType: DType?
    public var resolve: Resolve?
    /// Where the merged checkpoint goes.
    public var output: FilePath?
    /// Whether the output was written with a slash at its end and becomes a folder.
    public var outputIsFolder = false
    /// Where the report goes; its extension chooses HTML or JSON.
    public var report: FilePath?
    /// Keys that were ignored and other remarks.
    public var warnings: [String]

    /// One expert.
    public struct Model: Sendable {
        public var path: FilePath
        public var name: String
        public var head: FilePath?
        public var data: FilePath?
    }

    /// How to resolve interference before merging.
    public struct Resolve: Sendable {
        public var auxiliary: AuxiliarySource
        public var options: ResolverOptions
        /// Where the adapted experts go.
        public var output: FilePath?
    }
}
