import Checkpoints
import Merging
import Recipes
import SystemPackage
import TensorCore
import Testing
import TestSupport

/// Files of several documents, and where the models of a recipe are found.
@Suite struct RecipeBookTests {
    private let folder = TemporaryFolder()

    private static func document(_ name: String?, _ models: String...) -> String {
        (name.map { "name: \($0)\n" } ?? "") + "merge_method: average\nmodels:\n"
            + models.map { "  - model: \($0)\n" }.joined()
    }

    private func parse(_ documents: [String]) throws(RecipeError) -> RecipeBook {
        try RecipeBook.parse(documents.joined(separator: "---\n"), path: "r.yaml")
    }

    @Test func ordersDocumentsByWhatTheyNeed() throws {
        let book = try parse([
            Self.document(nil, "c", "x"), Self.document("b", "a", "y"), Self.document("c", "b", "a"),
            Self.document("a", "x", "y"),
        ])
        #expect(book.intermediates.map(\.name) == ["a", "b", "c"])
        #expect(book.final.name == nil)
        // Where all have names, the final one is the one that nobody needs.
        let named = try parse([Self.document("last", "first", "x"), Self.document("first", "x", "y")])
        #expect(named.intermediates.map(\.name) == ["first"])
        #expect(named.final.name == "last")
        // A name alone means nothing.
        #expect(try parse([Self.document("only", "x", "y")]).intermediates.isEmpty)
    }

    @Test(
        arguments: [
            ([document("a", "b"), document("b", "a"), document(nil, "a")], "recipe.cycle", 1),
            ([document("a", "a"), document(nil, "a")], "recipe.cycle", 1),
            ([document("a", "b"), document("b", "a")], "recipe.cycle", 1),
            ([document(nil, "x"), document(nil, "y")], "recipe.missing_key", 5),
            ([document("a", "x"), document("b", "y")], "recipe.missing_key", 6),
            ([document("a", "x"), document("a", "y"), document(nil, "a")], "recipe.duplicate_name", 6),
            ([document("../a", "x"), document(nil, "y")], "recipe.bad_value", 1),
            ([document("a", "x") + "output: m.npz\n", document(nil, "a")], "recipe.unsupported", 1),
            ([document("a", "x"), "merge_method: average\n"], "recipe.missing_key", nil),
            ([document("a", "x"), "merge_method: averag\nmodels: [{ model: a }]\n"], "merge.unknown_method", 6),
        ] as [([String], String, Int?)]) func refuses(documents: [String], code: String, line: Int?) throws
    {
        var failure: RecipeError?
        do throws(RecipeError) { _ = try parse(documents) } catch { failure = error }
        let error = try #require(failure)
        #expect(error.code == code)
        #expect(error.line == line, "\(error.message)")
    }

    // MARK: - Finding models

    private func makeFolders(_ names: String...) throws {
        for name in names {
            var path = FilePath()
            for component in FilePath(name).components {
                path.append(component)
                if !fileExists(folder.file(path.string)) { try folder.makeFolder(path.string) }
            }
        }
    }

    /// Where a model of a recipe in the temporary folder is, relative to that.
    private func locate(_ model: String, models: String? = "hub") throws -> String {
        let recipe = try RecipeFile.parse(Self.document(nil, model), path: folder.file("r.yaml"))
        let located = try ModelLocator(modelsFolder: models.map(folder.file)).locate(recipe)
        let path = try #require(located.experts.first?.path)
        var relative = path
        let isInside = relative.removePrefix(folder.path)
        #expect(isInside)
        return relative.string
    }

    @Test func findsModels() throws {
        try makeFolders(
            "org/local", "hub/org/whole", "hub/short", "hub/models--org--cached/refs/pr",
            "hub/models--org--cached/snapshots/0123abc", "hub/models--org--cached/snapshots/4567def",
            "hub/models--org--one/snapshots/99", "a+b", "x@y")
        try folder.write("0123abc\n", to: "hub/models--org--cached/refs/main")
        try folder.write("4567def", to: "hub/models--org--cached/refs/pr/1")
        #expect(try locate("org/local") == "org/local")
        #expect(try locate("./org/../org/local") == "org/local")
        #expect(try locate("org/whole") == "hub/org/whole")
        #expect(try locate("org/whole@v2") == "hub/org/whole")
        #expect(try locate("any/short") == "hub/short")
        #expect(try locate("short") == "hub/short")
        #expect(try locate("org/cached") == "hub/models--org--cached/snapshots/0123abc")
        #expect(try locate("org/cached@main") == "hub/models--org--cached/snapshots/0123abc")
        #expect(try locate("org/cached@pr/1") == "hub/models--org--cached/snapshots/4567def")
        #expect(try locate("org/cached@4567") == "hub/models--org--cached/snapshots/4567def")
        #expect(try locate("{ model: { path: org/cached, revision: 4567def } }").hasSuffix("4567def"))
        #expect(try locate("org/one@99") == "hub/models--org--one/snapshots/99")
        // An adapter is looked for like a model.
        let adapted = "org/local+\(folder.file("hub/short"))"
        #expect(try locate("org/local+any/short") == adapted)
        #expect(try locate("{ model: { path: org/local }, lora: { path: short } }") == adapted)
        // What is there counts as it is written.
        #expect(try locate("a+b", models: nil) == "a+b")
        #expect(try locate("x@y", models: nil) == "x@y")
    }

    @Test func saysWhereItLooked() throws {
        try makeFolders("hub/models--org--cached/snapshots/0123abc", "hub/models--org--cached/snapshots/4567def")
        func failure(_ model: String, models: String? = "hub") -> RecipeError? {
            do {
                _ = try locate(model, models: models)
                return nil
            } catch { return error as? RecipeError }
        }
        let error = try #require(failure("org/gone"))
        #expect(error.code == "io.not_found")
        #expect(error.line == 3)
        for place in ["org/gone", "hub/org/gone", "hub/gone", "hub/models--org--gone"] {
            #expect(error.message.contains(folder.file(place).string), "\(error.message)")
        }
        #expect(failure("org/gone", models: nil)?.hint?.contains("--models-dir") == true)
        #expect(failure("org/cached")?.message.contains("it has no main, but 0123abc, 4567def") == true)
        #expect(failure("org/cached@../../../etc")?.code == "io.not_found")
        let adapter = try #require(failure("org/model+org/adapter"))
        #expect(adapter.code == "io.not_found")
        #expect(adapter.line == 3)
    }

    /// All models that are nowhere are named, in all documents, each once.
    @Test func namesAllModelsThatAreMissing() throws {
        try makeFolders("here")
        let text = [Self.document("a", "one", "here", "two"), Self.document(nil, "a", "two", "three")]
            .joined(separator: "---\n")
        let book = try RecipeBook.parse(text, path: folder.file("r.yaml"))
        let error = try #require(throws: RecipeError.self) {
            _ = try book.located(modelsFolder: nil, intermediateFolder: "parts")
        }
        #expect(error.code == "io.not_found" && error.line == 4)
        #expect(error.message.contains("the model one is not there"), "\(error.message)")
        #expect(error.message.hasSuffix("; not there either: two (line 6), three (line 12)"), "\(error.message)")
    }

    @Test func leadsNamesOfDocumentsToTheirResults() throws {
        try makeFolders("x", "y")
        let text = [Self.document("a", "x", "y"), Self.document(nil, "a", "x")].joined(separator: "---\n")
        let book = try RecipeBook.parse(text, path: folder.file("r.yaml"))
        let located = try book.located(modelsFolder: nil, intermediateFolder: "parts")
        #expect(located.intermediates.map(\.output?.path) == ["parts/a"])
        #expect(located.final.experts.map(\.path) == ["parts/a", folder.file("x")])
    }
}
