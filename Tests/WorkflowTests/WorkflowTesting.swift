import Checkpoints
import Experts
import Glibc
import Kernels
import SystemPackage
import TensorCore
import ModelFolders
import Testing
import Work
import Workflow
import Merging
import TestSupport

/// A tensor of a checkpoint that a test makes.
struct TestTensor {
    var name: TensorName
    var dtype: DType
    var shape: Shape
    var bytes: [UInt8]

    init(_ name: TensorName, _ shape: [Int], _ values: [Float]) {
        self.init(name, .f32, shape, values.withUnsafeBytes(Array.init))
    }

    init(_ name: TensorName, _ dtype: DType, _ shape: [Int], _ bytes: [UInt8]) {
        (self.name, self.dtype, self.shape, self.bytes) = (name, dtype, Shape(shape), bytes)
    }
}

extension TemporaryFolder {
    /// Writes a checkpoint whose format the name tells.
    @discardableResult
    func checkpoint(_ name: String, _ tensors: [TestTensor], metadata: [String: String] = [:]) throws -> FilePath {
        var entries = Metadata()
        for (key, value) in metadata { entries[key] = value }
        let path = file(name)
        let writer = try CheckpointFormat.makeWriter(
            try #require(CheckpointFormat.format(ofOutput: path)), at: path,
            declaring: tensors.map { try TensorDescriptor(name: $0.name, dtype: $0.dtype, shape: $0.shape) },
            metadata: entries, options: WriteOptions(force: true, sync: false))
        for (index, tensor) in tensors.enumerated() {
            try tensor.bytes.withUnsafeBytes { try writer.write($0, tensor: index, at: 0) }
        }
        _ = try writer.finish()
        return path
    }

    @discardableResult
    func write(_ text: String, to name: String) throws -> FilePath { try write(Array(text.utf8), to: name) }
}

extension TemporaryFolder {
    func makeFolder(_ name: String) throws {
        guard mkdir(file(name).string, 0o777) == 0 else { throw Errno(rawValue: errno) }
    }
}

/// The tensors of a checkpoint, to be changed and written again.
func tensors(of path: FilePath) throws -> [TestTensor] {
    let store = try TensorStore(opening: path)
    return try store.descriptors.map { descriptor in
        let bytes = try #require(try store.bytes(of: descriptor.name)).withUnsafeBytes(Array.init)
        return TestTensor(descriptor.name, descriptor.dtype, descriptor.shape.dims, bytes)
    }
}

func contents(_ path: FilePath) throws -> [UInt8] { try MappedFile(path).withUnsafeBytes(Array.init) }

func fileExists(_ path: FilePath) -> Bool {
    var status = stat()
    return stat(path.string, &status) == 0
}

/// The code of the error that a piece of work ends with.
func code(of work: () throws -> Void) -> String? {
    do {
        try work()
        return nil
    } catch { return (error as? any Diagnostic)?.code ?? "\(error)" }
}

/// A suite of the fixtures as the pipeline takes it.
struct PipelineSuite {
    let name: String
    let tasks: [String]

    init(_ name: String) throws {
        self.name = name
        tasks = try SuiteFixture(name).tasks
    }

    func path(_ file: String) -> FilePath { Fixtures.path("suites/\(name)/\(file)") }
    var base: FilePath { path("base.safetensors") }

    /// Some suites keep experts as what changed from the base.
    func expert(_ task: String) -> FilePath {
        let packed = path("expert_\(task).skein")
        return fileExists(packed) ? packed : path("expert_\(task).safetensors")
    }

    func files(_ task: String) -> ExpertFiles {
        ExpertFiles(
            name: task, checkpoint: expert(task), head: path("heads_\(task).safetensors"),
            data: path("test_\(task).npz"))
    }

    func set(_ tasks: [String]? = nil) throws -> ExpertSet {
        try ExpertSet(base: base, experts: (tasks ?? self.tasks).map(files))
    }
}

let testBudget = ComputeBudget(threads: 2)

/// What tests work with.
var testContext: Context { Context(budget: testBudget) }

extension OutputTarget {
    /// A file that need not survive a loss of power.
    static func test(
        _ path: FilePath, format: FormatID? = nil, isFolder: Bool = false, force: Bool = false, shards: Int? = nil
    ) throws -> OutputTarget {
        try OutputTarget(
            OutputPlace(path, isFolder: isFolder), format: format,
            options: WriteOptions(force: force, sync: false, shardByteCount: shards))
    }
}

extension MergeJob {
    /// The result in memory.
    func merged() throws -> (report: MergeReport, store: TensorStore) {
        let outcome = try run(in: testContext)
        return (outcome.report, try outcome.open())
    }

    /// The result somewhere else than planned.
    @discardableResult
    func write(
        to target: OutputTarget
    ) throws -> (report: MergeReport, written: WrittenCheckpoint, folder: FolderReport?) {
        var job = self
        job.target = target
        let outcome = try job.run(in: testContext)
        return (outcome.report, try #require(outcome.written), outcome.folder)
    }
}
