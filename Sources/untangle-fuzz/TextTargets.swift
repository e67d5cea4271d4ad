import Checkpoints
import Experts
import Recipes
import SystemPackage
import TensorCore
import Tokenization

extension FuzzTarget {
    /// Strict JSON, every value asked for, and edited.
    static let json = FuzzTarget("json") { bytes in
        let value = try JSONDocument.parse(bytes)
        visit(value)
        var editor = try JSONEditor(bytes)
        try editor.set(["a"], to: "[1]")
        let edited = try editor.root
        precondition(value.kind != .object || edited["a"]?.array?.count == 1)
    }

    private static func visit(_ value: JSONValue) {
        (_, _, _) = (value.string, value.int, value.double)
        if let items = value.array { for item in items { visit(item) } }
        guard let members = value.object else { return }
        for member in members {
            _ = value[member.key]
            visit(member.value)
        }
    }

    /// A recipe, or several in one text.
    static let yaml = FuzzTarget("yaml") { bytes in
        let text = String(decoding: bytes, as: UTF8.self)
        let book = try RecipeBook.parse(text, path: "fuzz.yaml")
        _ = try book.located(modelsFolder: nil, intermediateFolder: "intermediate")
    }

    /// A `tokenizer.json`, and what it makes of texts.
    static let tokenizer = FuzzTarget("tokenizer") { bytes in
        let tokenizer = try Tokenizer(bytes, file: "tokenizer.json")
        for text in [
            "Hello, wörld! 한국 [MASK] lo\u{2581}12 3", "e\u{301}\u{FF21}\u{301} \u{1F469}\u{200D}\u{1F469}\t\n",
        ] {
            _ = try tokenizer.encode(text)
        }
    }

    /// Lines of texts and classes; their length chooses the form.
    static let text = {
        let file = MemoryFile()
        return FuzzTarget("text") { bytes in
            let format: TextFile.Format =
                switch bytes.count % 3 {
                case 0: .plain
                case 1: .table
                default: .json
                }
            let path = file.replace(with: bytes)
            _ = try? TextFile(path, format: format, options: DataOptions(skipsBad: true))
            _ = try TextFile(path, format: format, options: DataOptions(textField: "text")).classes
        }
    }()
}
