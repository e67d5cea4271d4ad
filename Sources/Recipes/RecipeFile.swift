import SystemPackage
import TensorCore

/// Reads recipes from YAML.
///
/// An unknown key in our own sections is an error that names the nearest known key. Among mergekit's keys it is a warning that does,
/// because public recipes are full of keys without effect.
public enum RecipeFile {
    /// Reads a file of one document.
    ///
    /// - Parameter strict: warnings are errors.
    /// - Throws: `RecipeError` with the place at fault, `IOError` when the file cannot be read.
    public static func load(_ path: FilePath, strict: Bool = false) throws -> Recipe {
        try parse(text(of: path), path: path, strict: strict)
    }

    /// Reads a recipe from its text; `path` locates relative paths and names the file in errors.
    ///
    /// - Throws: `RecipeError` with the line at fault.
    public static func parse(_ text: String, path: FilePath, strict: Bool = false) throws(RecipeError) -> Recipe {
        let documents = try documents(of: text, path: path)
        guard documents.count == 1 else {
            throw RecipeError(
                .syntax, "the file holds \(documents.count) documents, and one is expected", file: path,
                at: documents[1].position)
        }
        return try recipe(from: documents[0], text: text, path: path, strict: strict)
    }

    static func recipe(
        from document: YAMLNode, text: String, path: FilePath, strict: Bool
    ) throws(RecipeError) -> Recipe {
        var reader = RecipeReader(path: path, text: text)
        let recipe = try reader.recipe(from: document)
        if strict, let warning = recipe.warnings.first {
            throw RecipeError(
                .unknownKey, warning.problem, file: path, at: warning.position,
                hint: "--strict turns warnings into errors")
        }
        return recipe
    }

    static func text(of path: FilePath) throws -> String {
        let bytes = try MappedFile(path).withUnsafeBytes { Array($0) }
        // Editors of some systems begin UTF-8 with a byte order mark, at which the parser would stop.
        let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
        let content = bytes.dropFirst(bytes.starts(with: mark) ? mark.count : 0)
        do { _ = try UTF8Span(validating: content.span) } catch {
            let fault = content.startIndex + error.byteOffsets.lowerBound
            throw RecipeError(
                .syntax, "the recipe is not valid UTF-8", file: path,
                at: TextPosition(behind: String(decoding: content[..<fault], as: UTF8.self)), byteOffset: fault,
                hint: "save it as UTF-8")
        }
        return String(decoding: content, as: UTF8.self)
    }

    /// The documents of a file, those without content left out; at least one.
    static func documents(of text: String, path: FilePath) throws(RecipeError) -> [YAMLNode] {
        let documents: [YAMLNode]
        do throws(YAMLError) { documents = try YAMLComposer.documents(of: text).filter { !$0.isNull } } catch {
            throw RecipeError(.syntax, error.problem, file: path, at: error.position, hint: error.hint)
        }
        guard !documents.isEmpty else {
            throw RecipeError(.syntax, "the recipe is empty", file: path, at: TextPosition(line: 1, column: 1))
        }
        return documents
    }
}
