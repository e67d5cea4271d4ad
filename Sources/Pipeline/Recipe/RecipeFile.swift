import SystemPackage
import TensorCore
import Yams

/// Reads recipes from YAML.
///
/// An unknown key in our own sections is an error that names the nearest known key. Among mergekit's keys it is a warning that does,
/// because public recipes are full of keys without effect.
public enum RecipeFile {
    /// Reads a file of one document.
    ///
    /// - Parameter strict: warnings are errors.
    /// - Throws: `RecipeError` with the line at fault, `IOError` when the file cannot be read.
    public static func load(_ path: FilePath, strict: Bool = false) throws -> Recipe {
        try parse(text(of: path), path: path, strict: strict)
    }

    /// Reads a recipe from its text; `path` locates relative paths and names the file in errors.
    public static func parse(_ text: String, path: FilePath, strict: Bool = false) throws(RecipeError) -> Recipe {
        let documents = try documents(of: text, path: path)
        guard documents.count == 1 else {
            throw RecipeError(
                .syntax, "the file holds \(documents.count) documents, and one is expected", file: path,
                line: documents[1].mark?.line)
        }
        return try recipe(from: documents[0], text: text, path: path, strict: strict)
    }

    static func recipe(
        from document: Node, text: String, path: FilePath, strict: Bool
    ) throws(RecipeError) -> Recipe {
        var reader = RecipeReader(path: path, text: text)
        let recipe = try reader.recipe(from: document)
        if strict, let warning = recipe.warnings.first {
            throw RecipeError(.unknownKey, warning, file: path, hint: "--strict turns warnings into errors")
        }
        return recipe
    }

    static func text(of path: FilePath) throws -> String {
        let bytes = try MappedFile(path).withUnsafeBytes { Array($0) }
        // Editors of some systems begin UTF-8 with a byte order mark, at which the parser would stop.
        let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
        guard let text = String(validating: bytes.dropFirst(bytes.starts(with: mark) ? 3 : 0), as: UTF8.self) else {
            throw RecipeError(
                .syntax, "the recipe is not valid UTF-8", file: path, line: lineOfFirstFault(in: bytes),
                hint: "save it as UTF-8")
        }
        return text
    }

    /// The line of the first byte that belongs to no UTF-8 text.
    private static func lineOfFirstFault(in bytes: [UInt8]) -> Int {
        // A line feed is no part of another character, so each line is valid or not on its own.
        let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        return (lines.firstIndex { String(validating: $0, as: UTF8.self) == nil } ?? 0) + 1
    }

    /// The documents of a file, those without content left out; at least one.
    static func documents(of text: String, path: FilePath) throws(RecipeError) -> [Node] {
        do {
            try AliasExpansion.check(text, file: path)
            var sequence = try Yams.compose_all(yaml: text)
            var documents: [Node] = []
            while let document = sequence.next() { documents.append(document) }
            if let error = sequence.error { throw error }
            documents.removeAll(where: \.isNull)
            guard !documents.isEmpty else { throw RecipeError(.syntax, "the recipe is empty", file: path, line: 1) }
            return documents
        } catch let error as RecipeError {
            throw error
        } catch let error as YamlError {
            throw RecipeError(.syntax, AliasExpansion.restore(error.problem), file: path, line: error.line)
        } catch {
            throw RecipeError(.syntax, "\(error)", file: path)
        }
    }
}

extension YamlError {
    /// What the parser says is wrong.
    fileprivate var problem: String {
        switch self {
        case .scanner(_, let problem, _, _), .parser(_, let problem, _, _), .composer(_, let problem, _, _),
            .reader(let problem, _, _, _), .writer(let problem), .emitter(let problem), .representer(let problem):
            problem
        case .duplicatedKeysInMapping(let duplicates, let context):
            "the key \"\(duplicates.first ?? "")\" appears twice in a mapping"
                + (lineOfSecondKey == nil ? "" : ", for the first time on line \(context.mark.line)")
        default: "\(self)"
        }
    }

    fileprivate var line: Int? {
        switch self {
        case .scanner(_, _, let mark, _), .parser(_, _, let mark, _), .composer(_, _, let mark, _): mark.line
        case .duplicatedKeysInMapping(_, let context): lineOfSecondKey ?? context.mark.line
        case .reader(_, let offset?, _, let text): text.prefix(offset).count(where: \.isNewline) + 1
        default: nil
        }
    }

    /// Where a key of a mapping stands for the second time, which the parser does not say; nil in braces.
    private var lineOfSecondKey: Int? {
        guard case .duplicatedKeysInMapping(let duplicates, let context) = self, let key = duplicates.first else {
            return nil
        }
        // Keys stand below each other, and what belongs to their values further to the right.
        let lines = context.text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
        let column = context.mark.column - 1
        for (place, line) in lines.enumerated().dropFirst(context.mark.line) {
            let content = line.drop { $0 == " " }
            let indentation = line.count - content.count
            guard indentation >= column || content.isEmpty || content.first == "#" else { return nil }
            let isKey = [key, "\"\(key)\"", "'\(key)'"].contains { name in
                content.hasPrefix(name) && content.dropFirst(name.count).drop { $0 == " " }.first == ":"
            }
            if isKey, indentation == column { return place + 1 }
        }
        return nil
    }
}
