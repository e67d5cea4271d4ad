import Checkpoints
import SystemPackage
import TensorCore

/// A model as a recipe names it: a path, or `organisation/name` on the Hugging Face hub, optionally with `@revision` and with an
/// adapter behind a `+`.
public struct ModelReference: Sendable, Hashable {
    public var source: CheckpointSource
    /// As it is written, without the revision of the long form.
    public var text: String { source.text }
    /// The part of the text that names the model, and the revision behind it.
    public var id: String { source.name }
    public var revision: String? { source.revision }
    /// Where the model is; before `ModelLocator` has looked for it, the text as a path that counts from the recipe's folder.
    public var path: FilePath
    public var position: TextPosition?

    init(_ source: CheckpointSource, at position: TextPosition?, file: FilePath) {
        self.source = source
        path = FilePath(source.text).relative(toFolderOf: file)
        self.position = position
    }

    /// What tells models apart before they have been looked for, however they are written.
    struct Identity: Hashable {
        let path: FilePath
        let revision: String?
        let subfolder: FilePath?
    }

    var identity: Identity { Identity(path: path, revision: revision, subfolder: source.subfolder) }

    /// What the model is called where nothing else is said: its last path component without a checkpoint's extension.
    var defaultName: String { (AdaptedPath(path) == nil ? FilePath(id).checkpointName : path.modelName) ?? text }
}

extension YAMLSection {
    /// A model: a text, or mergekit's long form `{model: {path: ..., revision: ...}, lora: {path: ..., revision: ...}}`, to which we add
    /// `subfolder`.
    func model(_ key: String) throws(RecipeError) -> ModelReference? {
        guard let node = node(key), !node.isNull else { return nil }
        return try ModelReference(node, key: key, in: self)
    }
}

extension ModelReference {
    fileprivate init(_ node: YAMLNode, key: String, in section: YAMLSection) throws(RecipeError) {
        if let text = node.scalar?.text {
            // The system would take a path only up to a NUL.
            guard !text.isEmpty, !text.unicodeScalars.contains("\0") else {
                throw section.bad(key, "must be a path or the name of a model")
            }
            self.init(CheckpointSource(text), at: node.position, file: section.file)
            return
        }
        let form = try YAMLSection(node, title: key, file: section.file)
        if let inner = form.node("model"), !inner.isNull {
            try self.init(inner, key: "model", in: form)
            if let adapter = form.node("lora"), !adapter.isNull {
                let adapter = try ModelReference(adapter, key: "lora", in: form)
                self.init(source.adding(adapter.source), at: position, file: section.file)
            }
            return
        }
        guard let path = try form.text("path"), !path.isEmpty, !path.unicodeScalars.contains("\0") else {
            throw RecipeError(
                .missingKey, "\(key) names no model", file: section.file, at: node.position,
                hint: "\(key): PATH, or \(key): { model: { path: PATH, revision: REVISION } }")
        }
        // Here the whole text is the path.
        var source = CheckpointSource(name: path, revision: try form.text("revision"))
        if let name = try form.text("subfolder") {
            guard let subfolder = CheckpointSource.subfolder(name) else {
                throw form.bad("subfolder", "must be a folder inside that of the model, such as unet")
            }
            source.subfolder = subfolder
        }
        self.init(source, at: node.position, file: section.file)
    }
}
