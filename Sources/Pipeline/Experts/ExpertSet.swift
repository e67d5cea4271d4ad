import Checkpoints
import Interference
import Networks
import SystemPackage
import TensorCore

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
    /// Needs a head, because a distance and an accuracy are taken under it.
    public let data: TaskData?
}

/// A base and the experts that were fine-tuned from it, opened and checked; parameters are read when they are needed.
public struct ExpertSet: Sendable {
    public let base: TensorStore
    public let backbone: Backbone
    public let experts: [Expert]

    /// - Parameters:
    ///   - config: the configuration file; nil takes `config.json` beside the base.
    /// - Throws: `input.*`, `network.*`, `FormatError`, `IOError`, with the file at fault.
    public init(base path: FilePath, config: FilePath? = nil, experts files: [ExpertFiles]) throws {
        let base = try TensorStore(opening: path)
        let backbone = try Backbone(of: base, config: config)
        self.base = base
        self.backbone = backbone
        experts = try files.map { files in
            let task = try files.head.map { path in
                let head = try HeadFile.load(path, name: files.name)
                try backbone.network.check(head, name: files.name)
                return TaskHead(name: files.name, head: head)
            }
            return Expert(
                name: files.name, store: try TensorStore(opening: files.checkpoint), task: task,
                data: try files.data.map { try backbone.taskData($0, task: task, name: files.name) })
        }
    }

    /// The heads of all experts.
    ///
    /// - Throws: `input.missing_head` that names the first expert without one.
    func tasks() throws(PipelineError) -> [TaskHead] {
        var tasks: [TaskHead] = []
        for expert in experts {
            guard let task = expert.task else { throw .missingHead(of: expert.name) }
            tasks.append(task)
        }
        return tasks
    }
}

extension Backbone {
    /// The data of a task, normalised as this backbone takes it.
    ///
    /// - Throws: `input.missing_head` when there is no head to measure under; what `ImageFile` throws.
    public func taskData(_ path: FilePath, task: TaskHead?, name: String) throws -> TaskData {
        guard let task else { throw PipelineError.missingHead(of: name) }
        let file = try ImageFile(path, for: network.config, normalization: normalization)
        return try TaskData(task: task, inputs: file.images, labels: file.labels)
    }
}

extension PipelineError {
    static func missingHead(of name: String) -> PipelineError {
        PipelineError(
            .missingHead, "task \"\(name)\" has no head",
            hint: "give one with --head \(name)=FILE, or head: in a recipe")
    }
}
