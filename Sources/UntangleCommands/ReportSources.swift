import Checkpoints
import Experts
import Glibc
import Recipes
import Reporting
import SystemPackage
import TensorCore
import Work
import Workflow

/// What a command was asked and has read, gathered on the way, so that a page can say where its figures come from.
struct ReportSources {
    /// The command line, without the name of the program.
    private let arguments: [String]
    private let started: timespec
    /// Checkpoints and files as they were named, each once.
    private var places: [FilePath] = []
    private var recipes: [Recipe] = []
    /// What the user calls places that are found elsewhere than where they are named: models of the hub.
    private var names: [(place: FilePath, name: String)] = []

    init(arguments: [String]) {
        self.arguments = arguments
        started = Self.now
    }

    mutating func add(_ place: FilePath, named name: String? = nil) {
        if !places.contains(place) { places.append(place) }
        if let name, name != place.string { names.append((place, name)) }
    }

    /// Adds a recipe's text, and what it names.
    mutating func add(_ recipe: Recipe) {
        recipes.append(recipe)
        add(recipe.path)
        // Measuring needs the base also where the method takes none.
        let measuredBase = recipe.experts.contains { $0.head != nil } ? recipe.basePlace : nil
        for place in (measuredBase.map { [$0] } ?? []) + recipe.sourcePlaces {
            let reference = recipe.models[place].reference
            let isLocated = reference.path != FilePath(reference.text).relative(toFolderOf: recipe.path)
            add(reference.path, named: isLocated ? reference.text : nil)
        }
        for expert in recipe.experts { [expert.head, expert.data].compactMap { $0 }.forEach { add($0) } }
        if case .file(let path) = recipe.resolve?.auxiliary { add(path) }
        if case .file(let path) = recipe.distill?.auxiliary { add(path) }
        recipe.parameterInputs().flatMap(\.files).forEach { add($0) }
        if let measuredBase {
            ConfigurationFiles.paths(of: recipe.models[measuredBase].path, config: nil).forEach { add($0) }
        }
    }

    /// Reads what was read before, as far as the work has not taken its digest.
    ///
    /// - Throws: `IOError` when a file cannot be read any more.
    func origin(in context: Context) throws -> Report.Origin {
        let files = files
        let digests = try FileDigests.digests(of: files.map(\.path), in: context)
        return Report.Origin(
            command: (["untangle"] + arguments).map(\.quotedForShell).joined(separator: " "), recipe: recipeText,
            versions: Build.versions,
            inputs: zip(files, digests).map { file, digest in
                Report.Origin.Input(
                    name(of: file.path), byteCount: file.status.byteCount,
                    digest: isChanged(file.status) ? "changed since it was read" : "sha256:\(digest.hexadecimal)")
            })
    }

    /// The files behind the places, without those that this command has made itself on the way.
    private var files: [(path: FilePath, status: FileStatus)] {
        let made = recipes.filter(\.isIntermediate).compactMap(\.output?.path)
        var seen: Set<FilePath> = []
        return places.flatMap { place -> [(path: FilePath, status: FileStatus)] in
            guard !made.contains(where: { place.starts(with: $0) }) else { return [] }
            return RunJob.files(of: place).compactMap { file in
                guard let status = FileStatus(of: file), status.kind == S_IFREG, seen.insert(file).inserted else {
                    return nil
                }
                return (file, status)
            }
        }
    }

    /// What the user calls a file: its path from where it was named, and never a place that nobody has typed.
    private func name(of file: FilePath) -> String {
        for (place, name) in names {
            var rest = file
            guard rest.removePrefix(place) else { continue }
            return rest.isEmpty ? name : FilePath(name).appending(rest.components).string
        }
        return file.string
    }

    /// Whether a file's contents may be other ones than those that were read: an output may take the place of an input.
    private func isChanged(_ status: FileStatus) -> Bool {
        (status.modified.tv_sec, status.modified.tv_nsec) >= (started.tv_sec, started.tv_nsec)
    }

    /// The most of the recipes that a page repeats.
    private static let recipeByteLimit = 1 << 16

    /// The recipes' files, with their names where there are several.
    private var recipeText: String? {
        var seen: Set<FilePath> = []
        let files = recipes.filter { seen.insert($0.path).inserted }
        guard let first = files.first else { return nil }
        let text =
            files.count == 1
            ? first.text
            : files.map { "# \($0.path.string.escapingControlCharacters)\n\($0.text)" }.joined(separator: "\n")
        let rest = text.utf8.count - Self.recipeByteLimit
        guard rest > 0 else { return text }
        return String(decoding: text.utf8.prefix(Self.recipeByteLimit), as: UTF8.self) + "\n# and \(rest) bytes more\n"
    }

    private static var now: timespec {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return now
    }
}
