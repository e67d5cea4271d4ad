import Checkpoints
import Merging
import Reporting
import SystemPackage
import TensorCore

/// The `README.md` of a merged model: what it was made of and how, and whether it looks sound.
struct ModelCard {
    /// One of the models, and its files.
    struct Input {
        let name: String
        let isBase: Bool
        let files: [InputFile]
    }

    let title: String
    let author: String
    let method: MethodInfo
    let inputs: [Input]
    let tensorCount: Int
    let parameterCount: Int
    let sanity: MergeSanity
    let recipe: String
    /// Options of the command line that go before what the recipe says.
    let overrides: [String]
    /// Whether transformers can load the folder.
    let isForTransformers: Bool

    var text: String {
        let sections = [frontMatter, heading, methodSection, modelSection, sanitySection, recipeSection]
        return (sections + (overrides.isEmpty ? [] : [overrideSection])).joined(separator: "\n")
    }

    private var frontMatter: String {
        // Two revisions of a model are one model there.
        var seen: Set<String> = []
        let ids = inputs.compactMap { $0.files.first?.path.hubName }.filter { seen.insert($0).inserted }
        var lines = ["---"]
        lines += ids.isEmpty ? ["base_model: []"] : ["base_model:"] + ids.map { "- \($0)" }
        if isForTransformers { lines.append("library_name: transformers") }
        lines += ["tags:", "- merge", "- untangle", "---", ""]
        return lines.joined(separator: "\n")
    }

    private var heading: String {
        let count = inputs.count { !$0.isBase }
        return """
            # \(title)

            A merge of \(count) \(count == 1 ? "model" : "models"), made with \(author): \(tensorCount.grouped) tensors, \
            \(parameterCount.grouped) parameters.

            """
    }

    private var methodSection: String {
        let name = Self.paperAddress(method.paper).map { "[\(method.name)](\($0))" } ?? method.name
        let base = inputs.first { $0.isBase }.map { " The base is \(code($0.name))." } ?? ""
        return "## Method\n\n\(name): \(method.summary)\(base)\n\nSource: \(method.paper).\n"
    }

    private var modelSection: String {
        var text = "## Models\n\n| model | role | file | bytes | XXH3-128 |\n|---|---|---|---:|---|\n"
        for input in inputs {
            for file in input.files {
                let name = file.path.lastComponent?.string ?? file.path.string
                text += "| \(cell(input.name)) | \(input.isBase ? "base" : "merged") | \(cell(name)) "
                text += "| \(file.byteCount) | \(file.hash.map { "`\($0)`" } ?? "not read") |\n"
            }
        }
        text += "\nThe hashes are of whole files, as `xxhsum -H128 FILE` prints them.\n"
        if inputs.contains(where: { $0.files.contains { $0.hash == nil } }) {
            text += "What was not read has no part in the result: the method has no use for it.\n"
        }
        return text
    }

    private var sanitySection: String {
        var text = """
            ## Sanity

            | figure | value |
            |---|---:|
            | NaN | \(sanity.nanCount) |
            | infinite | \(sanity.infinityCount) |
            | became infinite in the output type | \(sanity.losses.overflowCount) |
            | became zero in the output type | \(sanity.losses.underflowCount) |
            | L2 norm of the result | \(number(sanity.norm)) |

            | model | L2 norm of what was merged | result / model |
            |---|---:|---:|

            """
        for (model, input) in zip(inputs, sanity.inputs) {
            text += "| \(cell(model.name)) | \(input.norm.map(number) ?? "-") | \(input.ratio.map(number) ?? "-") |\n"
        }
        if let least = sanity.least, let most = sanity.most {
            text += "\nNorm of single tensors over the mean norm of what the experts gave for them: least "
            text += "\(number(least.ratio)) (`\(least.tensor)`), most \(number(most.ratio)) (`\(most.tensor)`).\n"
        }
        return text
    }

    private var recipeSection: String { "## Recipe\n\n" + fenced(recipe, "yaml") }

    private var overrideSection: String {
        "## Overrides on the command line\n\nThese options of `untangle merge` go before what the recipe says:\n\n"
            + fenced(overrides.joined(separator: "\n"), "sh")
    }

    // MARK: - Parts

    /// Where a paper with an arXiv number is to be read.
    private static func paperAddress(_ paper: String) -> String? {
        guard let range = paper.firstRange(of: "arXiv:") else { return nil }
        let number = paper[range.upperBound...].prefix { $0.isNumber || $0 == "." }
        return number.isEmpty ? nil : "https://arxiv.org/abs/\(number)"
    }

    private func fenced(_ text: String, _ language: String) -> String {
        // Longer than any fence inside.
        var longest = 0
        var run = 0
        for byte in text.utf8 {
            run = byte == UInt8(ascii: "`") ? run + 1 : 0
            longest = max(longest, run)
        }
        let fence = String(repeating: "`", count: max(3, longest + 1))
        return "\(fence)\(language)\n\(text)\(text.hasSuffix("\n") ? "" : "\n")\(fence)\n"
    }

    private func number(_ value: Double) -> String {
        value.isFinite ? value.short() : value.isNaN ? "NaN" : "infinite"
    }

    /// Text in a cell of a table.
    private func cell(_ text: String) -> String {
        text.escapingControlCharacters.replacing("|", with: "\\|")
    }

    private func code(_ text: String) -> String {
        "`" + text.escapingControlCharacters.replacing("`", with: "'") + "`"
    }
}
