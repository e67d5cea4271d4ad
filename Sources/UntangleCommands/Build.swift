import Checkpoints
import Kernels
import Recipes
import Reporting
import Tokenization
import Work

/// What this program is made of, for `--version --json` and for pages.
enum Build {
    /// The product, the language's library and the libraries that are linked, by their names.
    static var versions: [Report.Origin.Version] {
        [.init("Untangle", ToolVersion.current), .init("Swift", swift)] + libraries.map { .init($0.name, $0.version) }
    }

    static var document: JSONOutput {
        [
            "version": .string(ToolVersion.current),
            // Package manifests are cached, and what they know of a commit is soon that of another one.
            "revision": .null, "swift": .string(swift),
            "libraries": .object(libraries.map { .init($0.name, .string($0.version)) }),
            "cpu": .array(Processor.features.map(JSONOutput.string)),
        ]
    }

    private static var swift: String { "\(_SwiftStdlibVersion.current)" }

    private static var libraries: [(name: String, version: String)] {
        [("OpenBLAS", openBLASVersion)] + checkpointLibraryVersions + [("libyaml", libyamlVersion)]
            + tokenizationLibraryVersions
    }
}
