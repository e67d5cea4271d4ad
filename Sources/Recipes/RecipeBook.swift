import SystemPackage
import TensorCore
import Work

/// A recipe file of one or several documents, of which some build upon the results of others, as in mergekit-multi.
///
/// The document without a name is the final one; where all have names it is the only one that no other needs. The
/// others' results go to folders of their names.
public struct RecipeBook: Sendable {
    /// Every one after those that it needs.
    public var intermediates: [Recipe]
    public var final: Recipe

    /// What was ignored in any document.
    public var warnings: [Warning] { intermediates.flatMap(\.warnings) + final.warnings }

    /// Reads all documents of a recipe file.
    ///
    /// - Parameter strict: warnings are errors.
    /// - Throws: `RecipeError` with the place at fault, `IOError` when the file cannot be read.
    public static func load(_ path: FilePath, strict: Bool = false) throws -> RecipeBook {
        try parse(RecipeFile.text(of: path), path: path, strict: strict)
    }

    /// Reads a recipe from its text; `path` locates relative paths and names the file in errors.
    ///
    /// - Throws: `RecipeError` with the line at fault.
    public static func parse(_ text: String, path: FilePath, strict: Bool = false) throws(RecipeError) -> RecipeBook {
        try RecipeBook(documents(of: text, path: path, strict: strict), path: path)
    }

    private static func documents(of text: String, path: FilePath, strict: Bool) throws(RecipeError) -> [Document] {
        var documents: [Document] = []
        for node in try RecipeFile.documents(of: text, path: path) {
            let recipe = try RecipeFile.recipe(from: node, text: text, path: path, strict: strict)
            documents.append(Document(recipe: recipe, position: node.position))
        }
        return documents
    }

    /// Reads a recipe file of one result or several: where all documents have names, each that no other needs is the final one of a book.
    ///
    /// - Throws: `RecipeError` with the place at fault, `IOError` when the file cannot be read.
    public static func all(in path: FilePath, strict: Bool = false) throws -> [RecipeBook] {
        let documents = try documents(of: RecipeFile.text(of: path), path: path, strict: strict)
        let finals = documents.indices.filter { place in !documents.contains { $0.uses(documents[place].name) } }
        guard finals.count > 1, documents.allSatisfy({ $0.name != nil }) else {
            return [try RecipeBook(documents, path: path)]
        }
        for place in finals { try checkName(documents[place], path) }
        return try finals.map { final in
            // What it needs, and what that needs.
            var needed: Set<Int> = [final]
            var next = [final]
            while let place = next.popLast() {
                next += documents.indices.filter {
                    documents[place].uses(documents[$0].name) && needed.insert($0).inserted
                }
            }
            return try RecipeBook(needed.sorted().map { documents[$0] }, path: path)
        }
    }

    /// One document and where it begins.
    private struct Document {
        let recipe: Recipe
        let position: TextPosition
        /// The models that it names, among them results of other documents.
        let models: Set<String>
        var name: String? { recipe.name }

        init(recipe: Recipe, position: TextPosition) {
            self.recipe = recipe
            self.position = position
            models = Set(recipe.models.map(\.reference.id))
        }

        func uses(_ name: String?) -> Bool { name.map(models.contains) ?? false }
    }

    private init(_ documents: [Document], path: FilePath) throws(RecipeError) {
        guard documents.count > 1 else {
            (intermediates, final) = ([], documents[0].recipe)
            return
        }
        let last = try Self.finalPlace(in: documents, path)
        var names: Set<String> = []
        for (place, document) in documents.enumerated() where place != last {
            try Self.check(document, path)
            guard let name = document.name, names.insert(name).inserted else {
                throw RecipeError(
                    .duplicateName, "two documents are called \"\(document.name ?? "")\"", file: path,
                    at: document.position)
            }
        }
        var remaining = documents.indices.filter { $0 != last }
        var ordered: [Recipe] = []
        while !remaining.isEmpty {
            let ready = remaining.firstIndex { place in
                !remaining.contains { documents[place].uses(documents[$0].name) }
            }
            guard let ready else {
                let names = remaining.compactMap { documents[$0].name }
                throw RecipeError(
                    .cycle, "the documents \(names.joined(separator: ", ")) need each other's results", file: path,
                    at: documents[remaining[0]].position)
            }
            ordered.append(documents[remaining.remove(at: ready)].recipe)
        }
        for place in ordered.indices { ordered[place].isIntermediate = true }
        (intermediates, final) = (ordered, documents[last].recipe)
    }

    private static func finalPlace(in documents: [Document], _ path: FilePath) throws(RecipeError) -> Int {
        let unnamed = documents.indices.filter { documents[$0].name == nil }
        if unnamed.count > 1 {
            throw RecipeError(
                .missingKey, "\(unnamed.count) documents have no name, and only the final one does without", file: path,
                at: documents[unnamed[1]].position, hint: "name: NAME, by which others refer to the result")
        }
        if let place = unnamed.first { return place }
        let unused = documents.indices.filter { place in
            !documents.contains { $0.uses(documents[place].name) }
        }
        if unused.isEmpty {
            throw RecipeError(
                .cycle, "every document needs the result of another", file: path, at: documents[0].position)
        }
        guard unused.count == 1 else {
            throw RecipeError(
                .missingKey, "\(unused.count) documents could be the final one", file: path,
                at: documents[unused[1]].position, hint: "leave out the name of the final document")
        }
        return unused[0]
    }

    /// What an intermediate document may not have.
    private static func check(_ document: Document, _ path: FilePath) throws(RecipeError) {
        let recipe = document.recipe
        let own = [
            ("output", recipe.output != nil), ("report", !recipe.reports.isEmpty), ("resolve", recipe.resolve != nil),
            ("distill", recipe.distill != nil),
        ]
        if let key = own.first(where: \.1)?.0 {
            throw RecipeError(
                .unsupported, "\(key) belongs to the final document, not to \"\(recipe.name ?? "")\"", file: path,
                at: document.position)
        }
        try checkName(document, path)
    }

    /// Makes sure that a result can have a folder by the name of its document.
    private static func checkName(_ document: Document, _ path: FilePath) throws(RecipeError) {
        let name = document.name ?? ""
        let component = FilePath.Component(name)
        guard component?.kind == .regular, component?.string == name, !name.hasPrefix("."), name.utf8.count <= 200
        else {
            throw RecipeError(
                .badValue, "the name \"\(name.escapingControlCharacters)\" cannot be that of a folder", file: path,
                at: document.position, hint: "choose a short name without slashes that does not begin with a dot")
        }
    }

    /// The recipes with every model found, and with outputs for intermediate results.
    ///
    /// - Parameters:
    ///   - modelsFolder: where models of the hub are.
    ///   - intermediateFolder: gets a folder for every intermediate document, by its name.
    /// - Throws: as `ModelLocator.locate`.
    public func located(modelsFolder: FilePath?, intermediateFolder: FilePath) throws(RecipeError) -> RecipeBook {
        var locator = ModelLocator(modelsFolder: modelsFolder)
        for recipe in intermediates {
            if let name = recipe.name { locator.merges[name] = intermediateFolder.appending(name) }
        }
        let located = try locator.locate(intermediates + [final])
        var book = self
        for index in book.intermediates.indices {
            book.intermediates[index] = located[index]
            book.intermediates[index].output = book.intermediates[index].name.map {
                OutputPlace(intermediateFolder.appending($0), isFolder: true)
            }
        }
        book.final = located[intermediates.count]
        return book
    }

    /// Where intermediate results go when nothing else is said: `out/merged.intermediate` beside `out/merged.safetensors`.
    public static func intermediateFolder(beside output: FilePath) -> FilePath {
        output.removingLastComponent().appending((output.stem ?? "merged") + ".intermediate")
    }
}
