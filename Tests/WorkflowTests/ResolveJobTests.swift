import Checkpoints
import Experts
import Interference
import Kernels
import SystemPackage
import TensorCore
import Testing
import Work
import TestSupport
import Transcoding
import Workflow

@Suite struct ResolveJobTests {
    private let folder = TemporaryFolder()
    private let suite: PipelineSuite
    private let options = ResolverOptions(steps: 2, batchSize: 8)

    init() throws { suite = try PipelineSuite("tiny") }

    private func makeStage(_ set: ExpertSet, output: String? = "out", force: Bool = false) -> ResolveJob {
        ResolveJob(
            set, auxiliary: .file(suite.path("aux_mixed.npz")), options: options, output: output.map(folder.file),
            write: WriteOptions(force: force, sync: false))
    }

    /// The suite's first expert as another file says it, and its second as it is.
    private func makeSet(_ checkpoint: FilePath) throws -> ExpertSet {
        var first = suite.files(suite.tasks[0])
        first.checkpoint = checkpoint
        return try ExpertSet(base: suite.base, experts: [first, suite.files(suite.tasks[1])])
    }

    @Test func writesOneCheckpointPerExpertLikeTheOriginal() throws {
        let adapted = try makeStage(try suite.set()).run(in: testContext)
        #expect(adapted.map(\.name) == suite.tasks)
        for expert in adapted {
            let path = folder.file("out/\(expert.name).safetensors")
            #expect(expert.path == path)
            let (written, original) = (
                try TensorStore(opening: path),
                try TensorStore(opening: suite.path("expert_\(expert.name).safetensors"))
            )
            #expect(written.descriptors == original.descriptors)
            #expect(expert.training?.trace.map(\.step) == [0, 1])
            // What it started from is the expert: the first preservation is zero but for rounding.
            #expect((expert.training?.trace.first?.preservation ?? 1) < 1e-8)
        }
    }

    /// The stage adds files and nothing else to what the resolver computes, whose parity with PyTorch is tested apart.
    @Test func writesWhatTheResolverComputes() throws {
        let set = try suite.set()
        guard case .images(let shape) = set.backbone.network.input else { return }
        let images = try ImageFile(
            suite.path("aux_mixed.npz"), of: shape, normalization: set.backbone.normalization)
        let resolver = try Resolver(
            network: set.backbone.network, base: try set.backbone.parameters(of: set.base),
            tasks: set.experts.compactMap(\.task), auxiliary: .images(images.images), options: options,
            budget: testBudget)
        let expected = try resolver.resolve(
            expert: try set.backbone.parameters(of: set.experts[1].store), task: 1)
        var stage = makeStage(set)
        stage.only = [suite.tasks[1]]
        let adapted = try stage.run(in: testContext)
        #expect(adapted.count == 1)
        let written = try TensorStore(opening: folder.file("out/\(suite.tasks[1]).safetensors"))
        #expect(try set.backbone.values(of: written) == expected.parameters.numbers)
    }

    @Test func keepsTypesMetadataAndOtherTensors() throws {
        let original = suite.path("expert_\(suite.tasks[0]).safetensors")
        var changed: [TestTensor] = []
        for tensor in try tensors(of: original) {
            // The upper half of an F32 is its BF16 but for rounding.
            let halves = stride(from: 0, to: tensor.bytes.count, by: 4).flatMap { tensor.bytes[$0 + 2..<$0 + 4] }
            changed.append(TestTensor(tensor.name, .bf16, tensor.shape.dims, halves))
        }
        changed.append(TestTensor("counter", .i64, [2], Array(1...16)))
        changed.insert(TestTensor("extra.scale", [1], [.nan]), at: 3)
        let path = try folder.checkpoint("e.safetensors", changed, metadata: ["format": "pt", "who": "me"])
        let adapted = try makeStage(try makeSet(path)).run(in: testContext)
        let store = adapted[0].store
        #expect(store.descriptors == (try TensorStore(opening: path)).descriptors)
        #expect(store.metadata["who"] == "me")
        #expect(store.metadata["format"] == "pt")
        let written = try tensors(of: store.path)
        for name in ["counter", "extra.scale"] as [TensorName] {
            #expect(written.first { $0.name == name }?.bytes == changed.first { $0.name == name }?.bytes)
        }
    }

    /// Numbers that are none in the last expert end the work before the first is trained and written.
    @Test func looksAtEveryExpertFirst() throws {
        var bad = try tensors(of: suite.path("expert_\(suite.tasks[1]).safetensors"))
        let place = try #require(bad.firstIndex { $0.name == "blocks.1.mlp.fc2.weight" })
        bad[place].bytes.replaceSubrange(0..<4, with: [0, 0, 0xC0, 0x7F])
        var second = suite.files(suite.tasks[1])
        second.checkpoint = try folder.checkpoint("bad.safetensors", bad)
        let set = try ExpertSet(base: suite.base, experts: [suite.files(suite.tasks[0]), second])
        let error = try #require(throws: InputError.self) { _ = try makeStage(set).run(in: testContext) }
        #expect(error.code == "input.bad_value" && error.tensor == "blocks.1.mlp.fc2.weight")
        #expect(error.file == second.checkpoint.string)
        #expect(!fileExists(folder.file("out/\(suite.tasks[0]).safetensors")))
    }

    @Test(arguments: ["e.npz", "shards/model.safetensors.index.json"])
    func takesExpertsOfOtherFormats(name: String) throws {
        let original = try TensorStore(opening: suite.path("expert_\(suite.tasks[0]).safetensors"))
        let isSharded = name.hasSuffix("json")
        try folder.makeFolder("shards")
        let target = try OutputTarget.test(folder.file(isSharded ? "shards" : name), shards: isSharded ? 100_000 : nil)
        _ = try Conversion(try ConversionPlan(of: original, to: target), of: original).run(in: testContext)
        let adapted = try makeStage(try makeSet(folder.file(name))).run(in: testContext)
        let reference = try makeStage(try suite.set([suite.tasks[0], suite.tasks[1]]), output: nil).run(in: testContext)
        #expect(adapted[0].path?.extension == (name.hasSuffix("npz") ? "npz" : "safetensors"))
        let backbone = try suite.set().backbone
        #expect(try backbone.values(of: adapted[0].store) == backbone.values(of: reference[0].store))
    }

    @Test(arguments: ["safetensors", "npz"]) func skipsWhatIsFinished(format: String) throws {
        var stage = makeStage(try suite.set())
        stage.keepsRecords = true
        stage.format = format == "npz" ? .npz : nil
        stage.only = [suite.tasks[2]]
        #expect(try stage.run(in: testContext)[0].training != nil)
        stage.only = nil
        let second = try stage.run(in: testContext)
        #expect(second.map(\.name) == suite.tasks)
        #expect(second.map { $0.training == nil } == [false, false, true, false])
        #expect(try stage.run(in: testContext).allSatisfy { $0.training == nil })

        // A file that was put in the place of an output is not taken for it, nor replaced.
        let path = folder.file("out/\(suite.tasks[0]).\(format)")
        try folder.checkpoint("out/\(suite.tasks[0]).\(format)", try tensors(of: suite.base))
        let before = try contents(path)
        #expect(code { _ = try stage.run(in: testContext) } == "io.exists")
        #expect(try contents(path) == before)
    }

    /// Resolving knows no `--upcast`, which the format itself would propose.
    @Test func aFormatWithoutTheTypesOfAnExpertIsRefused() throws {
        let original = try TensorStore(opening: suite.path("expert_\(suite.tasks[0]).safetensors"))
        let target = try OutputTarget.test(folder.file("e.safetensors"))
        let plan = try ConversionPlan(of: original, to: target, options: ConversionOptions(dtype: .bf16))
        _ = try Conversion(plan, of: original).run(in: testContext)
        var stage = makeStage(try makeSet(folder.file("e.safetensors")))
        stage.format = .npz
        let error = try #require(throws: FormatError.self) { _ = try stage.run(in: testContext) }
        #expect(error.code == "format.unsupported_dtype" && error.hint?.hasPrefix("choose another format") ?? false)
        #expect(!fileExists(folder.file("out/\(suite.tasks[0]).npz")))
    }

    @Test func theBaseItselfIsNotTrainedAtARateThatFollowsFromIt() throws {
        var first = suite.files(suite.tasks[0])
        first.checkpoint = suite.base
        let set = try ExpertSet(base: suite.base, experts: [first, suite.files(suite.tasks[1])])
        var warnings: [String] = []
        var context = testContext
        context.warn = { warnings.append($0.code) }
        _ = try makeStage(set, output: nil).run(in: context)
        #expect(warnings == ["interference.zero_rate"])
    }

    /// 40,000 features of 64 numbers, in F32 three times and in F64 once, take 49 MiB; the inputs 30 MiB.
    @Test func matchingFeaturesFitsIntoTheMemory() throws {
        var options = options
        options.match = .features
        let job = ResolveJob(
            try suite.set([suite.tasks[0], suite.tasks[1]]), auxiliary: AuxiliarySource("shapes", count: 40_000),
            options: options, output: nil)
        var context = testContext
        context.memory = 64 << 20
        let error = try #require(throws: InterferenceError.self) { _ = try job.run(in: context) }
        #expect(error.code == "interference.memory" && error.message.hasPrefix("matching features takes about"))
    }

    @Test func otherSettingsAreOtherWork() throws {
        var stage = makeStage(try suite.set([suite.tasks[0], suite.tasks[1]]))
        stage.keepsRecords = true
        _ = try stage.run(in: testContext)
        var other = ResolveJob(
            stage.set, auxiliary: AuxiliarySource("noise", count: 8, seed: 1), options: options, output: stage.output,
            write: WriteOptions(force: true, sync: false))
        other.keepsRecords = true
        #expect(try other.run(in: testContext).allSatisfy { $0.training != nil })
        other.write.force = false
        #expect(try other.run(in: testContext).allSatisfy { $0.training == nil })
    }

    @Test func refusesBeforeItWorks() throws {
        var renamed = suite.files(suite.tasks[0])
        for name in ["a/b", "..", ".hidden", "", "a\0b", String(repeating: "x", count: 300)] {
            renamed.name = name
            let set = try ExpertSet(base: suite.base, experts: [renamed])
            #expect(code { _ = try makeStage(set).run(in: testContext) } == "input.bad_name", "\(name)")
            // In memory, names are only names.
            #expect(code { _ = try makeStage(set, output: nil).run(in: testContext) } == nil, "\(name)")
        }
        #expect(!fileExists(folder.file("out")))
        var stage = makeStage(try suite.set())
        stage.only = ["nobody"]
        #expect(code { _ = try stage.run(in: testContext) } == "input.bad_name")
        stage.only = nil
        stage.format = .npy
        #expect(code { _ = try stage.run(in: testContext) } == "format.tensor_count")
        var headless = suite.files(suite.tasks[1])
        headless.head = nil
        headless.data = nil
        let set = try ExpertSet(base: suite.base, experts: [suite.files(suite.tasks[0]), headless])
        #expect(code { _ = try makeStage(set).run(in: testContext) } == "input.missing_head")
        let none = ResolveJob(
            try suite.set(), auxiliary: AuxiliarySource("noise", count: 4), options: ResolverOptions(steps: 0),
            output: folder.file("none"))
        #expect(code { _ = try none.run(in: testContext) } == "interference.bad_option")
        #expect(!fileExists(folder.file("none")))
        try folder.write("x", to: "file")
        #expect(code { _ = try makeStage(try suite.set(), output: "file").run(in: testContext) } == "io.exists")
    }

    /// An output may be one of the inputs.
    @Test func replacesItsInput() throws {
        let original = suite.path("expert_\(suite.tasks[0]).safetensors")
        let path = try folder.write(try contents(original), to: "\(suite.tasks[0]).safetensors")
        let set = try makeSet(path)
        let expected = try makeStage(set, output: nil).run(in: testContext)
        #expect(code { _ = try makeStage(set, output: "").run(in: testContext) } == "io.exists")
        var stage = makeStage(set, output: "", force: true)
        stage.only = [suite.tasks[0]]
        _ = try stage.run(in: testContext)
        let backbone = set.backbone
        #expect(
            try backbone.values(of: TensorStore(opening: path)) == backbone.values(of: expected[0].store))
    }

    @Test func isTheSameOnAnyNumberOfThreads() throws {
        for threads in [1, 2, 5] {
            _ = try makeStage(try suite.set(), output: "t\(threads)").run(
                in: Context(budget: ComputeBudget(threads: threads)))
        }
        for task in suite.tasks {
            let first = try contents(folder.file("t1/\(task).safetensors"))
            #expect(try contents(folder.file("t2/\(task).safetensors")) == first)
            #expect(try contents(folder.file("t5/\(task).safetensors")) == first)
        }
    }
}
