import Checkpoints
import Experts
import Interference
import Recipes
import SystemPackage
import TensorCore
import TestSupport
import Testing
import Work
import Workflow

@Suite struct DistillJobTests {
    private let folder = TemporaryFolder()
    private let suite: PipelineSuite
    private let options = ResolverOptions(steps: 2, batchSize: 8)

    init() throws { suite = try PipelineSuite("tiny") }

    private func makeJob(
        _ options: ResolverOptions? = nil, of merged: FilePath? = nil, output: String? = nil, force: Bool = false
    ) throws -> DistillJob {
        DistillJob(
            try suite.set(), of: .checkpoint(try TensorStore(opening: merged ?? suite.expert(suite.tasks[0]))),
            auxiliary: .file(suite.path("aux_mixed.npz")), options: options ?? self.options,
            target: try output.map { try .test(folder.file($0), force: force) })
    }

    @Test(arguments: ["out/m.safetensors", "out/m.npz"])
    func writesLikeTheMergedModel(output: String) throws {
        let job = try makeJob(output: output)
        let model = try job.run(in: testContext)
        #expect(model.name == "m" && model.path == folder.file(output))
        #expect(model.training?.trace.map(\.step) == [0, 1])
        let written = try TensorStore(opening: folder.file(output))
        let original = try TensorStore(opening: suite.expert(suite.tasks[0]))
        #expect(Set(written.descriptors) == Set(original.descriptors))
        let backbone = job.set.backbone
        let inMemory = try makeJob().run(in: testContext).store
        let isSame = try backbone.values(of: written) == backbone.values(of: inMemory)
        #expect(isSame)
        let isNew = try backbone.values(of: written) != backbone.values(of: original)
        #expect(isNew)
        #expect(code { _ = try job.run(in: testContext) } == "io.exists")
        #expect(code { _ = try makeJob(output: output, force: true).run(in: testContext) } == nil)
    }

    /// A double that no float can hold, in a tensor that is not trained: its bytes stay.
    @Test func keepsFrozenTensorsBitForBit() throws {
        var changed = try tensors(of: suite.expert(suite.tasks[0]))
        let place = try #require(changed.firstIndex { $0.name == "pos_embed" })
        let tensor = changed[place]
        let bytes = (0..<tensor.shape.dims.reduce(1, *)).flatMap { number in
            withUnsafeBytes(of: (0.1 + Double(number) * 1e-3).bitPattern.littleEndian) { Array($0) }
        }
        changed[place] = TestTensor("pos_embed", .f64, tensor.shape.dims, bytes)
        let path = try folder.checkpoint("e.safetensors", changed)
        var options = options
        options.freeze = ["pos_*", "blocks.1.*"]
        _ = try makeJob(options, of: path, output: "a.safetensors").run(in: testContext)
        let frozen = try tensors(of: folder.file("a.safetensors"))
        for old in changed {
            let new = try #require(frozen.first { $0.name == old.name })
            let isKept = new.bytes == old.bytes
            #expect(isKept == (old.name == "pos_embed" || old.name.text.hasPrefix("blocks.1.")), "\(old.name)")
        }
        _ = try makeJob(of: path, output: "b.safetensors").run(in: testContext)
        let free = try tensors(of: folder.file("b.safetensors"))
        #expect(free.first { $0.name == "pos_embed" }?.bytes != bytes)
    }

    @Test func namesTheNearestTensorForAPatternOfNone() throws {
        var options = options
        options.freeze = ["cls_token", "pos_embd"]
        for output in [nil, "out/m.safetensors"] as [String?] {
            let error = try #require(throws: InputError.self) {
                _ = try makeJob(options, output: output).run(in: testContext)
            }
            #expect(error.code == "input.missing_tensor" && error.message.contains("\"pos_embd\""))
            #expect(error.hint == "did you mean \"pos_embed\"?")
        }
        #expect(!fileExists(folder.file("out")))
        let resolving = ResolveJob(
            try suite.set(), auxiliary: AuxiliarySource("noise", count: 4), options: options, output: folder.file("r"))
        #expect(code { _ = try resolving.run(in: testContext) } == "input.missing_tensor")
        options.freeze = ["*"]
        #expect(code { _ = try makeJob(options).run(in: testContext) } == "interference.bad_option")
    }

    /// Q, K and V of a Hugging Face encoder are thirds of one entry of the layout.
    @Test func freezesAThirdOfAnEntry() throws {
        let path = Fixtures.path("networks/bert-mean/base.safetensors")
        let store = try TensorStore(opening: path)
        let backbone = try Backbone(of: store)
        let frozen = try backbone.frozen(TensorPatterns(["*layer.0.attention.self.key.weight"]), in: store)
        let entry = try #require(backbone.network.layout["blocks.0.attn.qkv.weight"])
        let size = entry.range.count / 3
        #expect(frozen.ranges == [entry.range.lowerBound + size..<entry.range.lowerBound + 2 * size])
    }

    @Test func goesOnToTheSameBytes() throws {
        var options = options
        options.steps = 5
        _ = try makeJob(options, output: "whole.safetensors").run(in: testContext)
        var job = try makeJob(options, output: "m.safetensors")
        job.resumption = Resumption(saveEvery: 2, resumes: true)
        _ = try job.run(in: testContext)
        let bytes = try contents(folder.file("whole.safetensors"))
        let isSame = try contents(folder.file("m.safetensors")) == bytes
        #expect(isSame && !fileExists(folder.file(".m.resolving.safetensors")))
        #expect(try job.run(in: testContext).training == nil)
    }

    // MARK: recipes

    private func run(_ more: String) throws -> RunReport {
        let models = suite.tasks.map { task in
            let files = suite.files(task)
            return
                "  - {model: \(files.checkpoint), name: \(task), head: \(files.head ?? ""), data: \(files.data ?? "")}\n"
        }.joined()
        let text = "merge_method: task_arithmetic\nbase_model: \(suite.base)\nmodels:\n\(models)\(more)\n"
        let recipe = try RecipeFile.load(try folder.write(text, to: "recipe.yaml"))
        return try RunJob(recipe, write: WriteOptions(sync: false)).run(in: testContext)
    }

    private var resolve: String { "resolve: {auxiliary: \(suite.path("aux_mixed.npz")), steps: 2, batch_size: 8}" }

    @Test func measuresTheMergeWithAndWithoutIt() throws {
        let section = "distill: {auxiliary: \(suite.path("aux_mixed.npz")), steps: 20, batch_size: 32}"
        let report = try run("parameters: {lambda: 0.3}\n\(section)\noutput: out/m.safetensors")
        let plain = try run("parameters: {lambda: 0.3}")
        #expect(report.merged == plain.merged && report.mergedResolved == nil)
        let (before, after) = (try #require(report.merged).total, try #require(report.mergedDistilled).total)
        #expect(after < before)
        let document = try JSONDocument.parse(Array(report.report.json.rendered().utf8), file: "report")
        #expect(document["total_interference"]?["merged_distilled"]?.double == after)
        #expect(document["tasks"]?.array?.first { _ in true }?["accuracy"]?["merged_distilled"]?.double != nil)
        #expect(document["distill"]?.array?.first { _ in true }?["steps"]?.int == 20)
        #expect(report.report.text.contains("Distilling removes"))
        let again = try run("parameters: {lambda: 0.3}\n\(section)\noutput: out/m.safetensors")
        #expect(again.mergeWasDone && again.distilled == nil && again.mergedDistilled == report.mergedDistilled)
        #expect(code { _ = try run("\(section)\noutput: out/m.safetensors") } == "io.exists")
    }

    @Test func followsResolvingWithItsInputs() throws {
        let report = try run("\(resolve)\ndistill: {steps: 2, batch_size: 8}")
        #expect(report.adapted.count == suite.tasks.count && report.distilled?.training?.trace.count == 2)
        let undistilled = try run(resolve)
        #expect(report.mergedResolved == undistilled.mergedResolved && report.merged == undistilled.merged)
        #expect(report.mergedDistilled != nil && report.mergedDistilled != report.mergedResolved)
    }

    @Test(
        arguments: [
            ("distill: {steps: 2}", "recipe.missing_key"), ("distill:", "recipe.missing_key"),
            ("distill: {auxiliary: noise, alpha: 1}", "recipe.unknown_key"),
            ("distill: {auxiliary: noise, preset: paper}", "recipe.unknown_key"),
            ("distill: {auxiliary: noise, student_temperature: 0}", "recipe.bad_value"),
            ("distill: [{auxiliary: noise}]", "recipe.bad_value"),
            ("distill: {auxiliary: noise}\noutput: out/", "recipe.unsupported"),
            ("distill: {auxiliary: none.npz}", "io.not_found"),
        ])
    func refuses(section: String, expected: String) throws {
        #expect(code { _ = try run(section) } == expected, "\(section)")
    }
}
