import Checkpoints
import Interference
import Networks
import SystemPackage
import TensorCore
import Work

/// Where one expert and what belongs to it are found.
public struct ExpertFiles: Sendable {
    public var name: String
    public var checkpoint: FilePath
    public var head: FilePath?
    public var data: FilePath?

    public init(name: String, checkpoint: FilePath, head: FilePath? = nil, data: FilePath? = nil) {
        self.name = name
        self.checkpoint = checkpoint
        self.head = head
        self.data = data
    }
}

/// An expert, the head of its task, and the data that its task is measured on.
public struct Expert: Sendable {
    public let name: String
    public let store: TensorStore
    public let task: TaskHead?
    /// The files of the head.
    public let headFiles: [FilePath]
    /// Needs a head, because a distance and an accuracy are taken under it.
    public let data: TaskData?
}

/// A base and the experts that were fine-tuned from it, opened and checked; parameters are read when they are needed.
public struct ExpertSet: Sendable {
    public let base: TensorStore
    public let backbone: Backbone
    public let experts: [Expert]
    /// The rules by which the experts' tensors have the names of the base's.
    public let map: NameMap

    /// Opens a base, its experts, their heads and their data.
    ///
    /// - Parameters:
    ///   - config: the configuration file; nil takes the one beside the base.
    ///   - map: rules that give the experts' tensors the names that the base's have.
    ///   - data: how data is read that is no array.
    ///   - context: bounds what a tensor may take that is decoded whole, and is told what should be known of data that can
    ///     be used.
    /// - Throws: `input.*`, `network.*`, `FormatError`, `IOError`, with the file at fault.
    public init(
        base path: FilePath, config: FilePath? = nil, experts files: [ExpertFiles], map: NameMap = NameMap(),
        data: DataOptions = DataOptions(), in context: Context = Context()
    ) throws {
        func open(_ path: FilePath, _ options: ReadOptions) throws -> TensorStore {
            let store = try TensorStore(opening: path, options: options)
            if !store.quantizedWeights.isEmpty { store.warnings.forEach(context.warn) }
            return store
        }
        let base = try open(path, context.reading())
        let options = context.reading(sharedBase: path)
        var backbone = try Backbone(of: base, config: config)
        backbone.reading = context.reading()
        backbone.data = data
        self.base = base
        self.backbone = backbone
        self.map = map
        let stores = try map.applied(
            to: try files.map { try open($0.checkpoint, options) }, toMatch: base, warn: context.warn)
        experts = try zip(files, stores).map { [backbone] files, store in
            do { try backbone.check(store) } catch let error as InputError
                where error.code == "input.missing_tensor"
            {
                let suggestion = MapSuggestion(for: store.descriptors, toMatch: base.descriptors)
                throw suggestion.map { error.hinting("most names match with \($0.map.options)") } ?? error
            }
            if config == nil { try backbone.checkConfiguration(beside: store) }
            let task = try files.head.map { try backbone.taskHead($0, name: files.name) }
            return Expert(
                name: files.name, store: store, task: task,
                headFiles: try files.head.map { try HeadFile.open($0, options: options).reader.files } ?? [],
                data: try files.data.map { try backbone.taskData($0, task: task, name: files.name, in: context) })
        }
    }

    /// The heads of all experts.
    ///
    /// - Throws: `input.missing_head` that names the first expert without one.
    package func tasks() throws(InputError) -> [TaskHead] {
        var tasks: [TaskHead] = []
        for expert in experts {
            guard let task = expert.task else { throw .missingHead(of: expert.name) }
            tasks.append(task)
        }
        return tasks
    }
}

extension Backbone {
    /// The head of a task, checked against this backbone's features.
    ///
    /// - Throws: `input.bad_shape` for a head of another width; what `HeadFile` throws.
    public func taskHead(_ path: FilePath, name: String) throws -> TaskHead {
        let head = try HeadFile.load(path, name: name, options: reading)
        do throws(NetworkError) { try network.check(head, name: name) } catch {
            throw InputError(.badShape, error.message, file: path, tensor: "weight")
        }
        return TaskHead(name: name, head: head)
    }

    /// The data of a task, as this backbone takes it.
    ///
    /// - Parameter needsLabels: whether classes that do not fit the head are an error; otherwise they are left out with a warning.
    /// - Throws: `input.missing_head` when there is no head to measure under, `input.bad_value` for a label that the head
    ///   has no class for, `input.missing_tensor` when there are no labels and they are needed; what `DataFile` throws.
    public func taskData(
        _ path: FilePath, task: TaskHead?, name: String, needsLabels: Bool = false, in context: Context
    ) throws -> TaskData {
        guard let task else { throw InputError.missingHead(of: name) }
        let file = try DataFile(path, for: self, in: context)
        file.warnings.forEach(context.warn)
        let classCount = task.head.classCount
        let labels = file.labels?.numbers(classCount: classCount)
        if let found = file.labels, labels == nil {
            let names = found.names
            let list =
                names.prefix(8).joined(separator: ", ").escapingControlCharacters + (names.count > 8 ? ", ..." : "")
            let problem =
                "\(path.string) names \(names.count) \(names.count == 1 ? "class" : "classes") (\(list)), but the head of \"\(name)\" has "
                + "\(classCount)"
            let hint = "name every class once at least, or number them from 0"
            guard !needsLabels else { throw InputError(.badValue, problem, file: path, hint: hint) }
            context.warn(Warning(DataWarning.unknownClasses, "\(problem); accuracies are left out", file: path.string))
        }
        if let labels, let index = labels.firstIndex(where: { !(0..<classCount ~= $0) }) {
            throw InputError(
                .badValue,
                "\"labels\" has the value \(labels[index]) at \(network.input.noun.one) \(index), but the head of \"\(name)\" has "
                    + "\(classCount) classes from 0", file: path, tensor: "labels")
        }
        if labels == nil, needsLabels { throw InputError.missingLabels(path) }
        return try TaskData(task: task, inputs: file.inputs, labels: labels)
    }
}

extension InputError {
    /// Data without labels, where an accuracy is asked for.
    public static func missingLabels(_ file: FilePath) -> InputError {
        InputError(
            .missingTensor, "\(file.string) has no labels, and an accuracy needs the classes of its inputs", file: file,
            tensor: "labels",
            hint:
                "\"labels\" in an array, one folder for each class, .cls members, .tsv or .jsonl lines: see docs/data.md"
        )
    }

    static func missingHead(of name: String) -> InputError {
        InputError(
            .missingHead, "task \"\(name)\" has no head",
            hint: "give one with --head \(name)=FILE, or head: in a recipe")
    }
}
