import Checkpoints
import Experts
import Interference
import Kernels
import Networks
import SystemPackage
import TensorCore
import Testing
import TestSupport

/// Every network of `Fixtures/networks` against the libraries' own modules: outputs, losses, gradients, and what is written.
///
/// Tolerances are several times what PyTorch itself strays in single precision (`Fixtures/README.md`).
@Suite struct NetworkGoldenTests {
    static let names = [
        "timm-vit-token", "timm-vit-avg", "timm-vit-layerscale", "timm-vit-registers", "timm-deit-distilled", "hf-vit",
        "hf-vit-classifier", "hf-deit", "hf-clip-vision", "hf-clip-vision-gelu", "hf-clip-full",
        "hf-siglip-full", "openclip-full", "hf-dinov2", "hf-dinov2-registers", "bert-mean",
        "bert-cls-prefixed", "roberta-mean-prefixed", "xlm-roberta-cls", "distilbert-mean",
    ]

    private let folder = TemporaryFolder()
    private let budget = ComputeBudget(threads: 2)

    @Test(arguments: names) func featuresAndLogits(name: String) throws {
        let network = try GoldenNetwork(name)
        for (model, store) in [("base", network.base), ("expert", network.expert)] {
            let features = try network.backbone.network.features(
                parameters: try network.backbone.parameters(of: store), inputs: network.inputs, budget: budget)
            #expect(largestDifference(features, try network.outputs("features.\(model)")) <= 2e-5, "\(model)")
            for task in network.tasks {
                let logits = HeadBank([task.head]).logits(features: features)
                let expected = try network.outputs("logits.\(model).\(task.name)")
                #expect(largestDifference(logits, expected) <= 2e-5, "\(model) \(task.name)")
            }
        }
    }

    /// The expert's own head is the linear one, then the other.
    @Test(arguments: names, [0, 1]) func lossesOfFiveSteps(name: String, task: Int) throws {
        let network = try GoldenNetwork(name)
        let result = try network.resolver(budget).resolve(
            expert: try network.backbone.parameters(of: network.expert), task: task)
        let run = try network.run(task)
        func series(_ key: String) -> [Double] { run[key]?.array?.compactMap(\.double) ?? [] }
        let (losses, own, others) = (series("loss_float64"), series("own_float64"), series("others_float64"))
        try #require(losses.count == 5 && own.count == 5 && others.count == 5 && result.trace.count == 5)
        for (step, current) in result.trace.enumerated() {
            #expect(abs(current.loss - losses[step]) <= 5e-5 * losses[step], "step \(step)")
            // The first preservation is zero but for rounding.
            #expect(abs(current.preservation - own[step]) <= 5e-5 * losses[step], "step \(step)")
            #expect(abs(current.interference - others[step]) <= 5e-5 * losses[step], "step \(step)")
        }
    }

    @Test(arguments: names) func theFirstGradientInTheFilesTensors(name: String) throws {
        let network = try GoldenNetwork(name)
        let (_, gradient) = try network.resolver(budget).firstGradient(
            expert: try network.backbone.parameters(of: network.expert), task: 0)
        let written = try write(try FloatBuffer(gradient), network)
        let expected = try network.store("grad0.safetensors")
        let trained = try network.backbone.parameterNames(in: network.expert)
        #expect(Set(trained) == Set(expected.descriptors.map(\.name)))
        let largest = try expected.descriptors.reduce(Float(0)) { largest, tensor in
            try values(expected, tensor.name).reduce(largest) { max($0, abs($1)) }
        }
        for tensor in expected.descriptors {
            let difference = largestDifference(
                try values(written, tensor.name), try values(expected, tensor.name))
            #expect(difference <= 3e-5 * largest, "\(tensor.name)")
        }
    }

    @Test(arguments: names) func whatIsWrittenAfterFiveSteps(name: String) throws {
        let network = try GoldenNetwork(name)
        let result = try network.resolver(budget).resolve(
            expert: try network.backbone.parameters(of: network.expert), task: 0)
        let written = try write(result.parameters, network)
        #expect(written.descriptors == network.expert.descriptors)
        let expected = try network.store("adapted.safetensors")
        let trained = Set(try network.backbone.parameterNames(in: network.expert))
        let run = try network.run(0)
        #expect(
            Set(run["untrained"]?.array?.compactMap { $0.string.map { TensorName($0) } } ?? [])
                == Set(written.descriptors.filter(\.dtype.isComputable).map(\.name)).subtracting(trained))
        var (squares, beyond, count) = (0.0, 0, 0)
        for tensor in written.descriptors {
            guard trained.contains(tensor.name) else {
                #expect(try bytes(written, tensor.name) == bytes(network.expert, tensor.name), "\(tensor.name)")
                continue
            }
            let (own, theirs) = (try values(written, tensor.name), try values(expected, tensor.name))
            let noise = try noisyRows(of: tensor, run)
            for index in own.indices where !noise.contains(index) {
                let difference = abs(Double(own[index]) - Double(theirs[index]))
                squares += difference * difference
                beyond += difference > 1e-5 ? 1 : 0
                count += 1
            }
        }
        #expect((squares / Double(count)).squareRoot() <= 1e-6)
        #expect(Double(beyond) <= 0.001 * Double(count), "\(beyond) of \(count)")
    }

    /// OpenCLIP's and Hugging Face's names of the same networks.
    @Test func oneNetworkUnderTwoNamings() throws {
        let features = try ["openclip-full", "hf-clip-full"].map { name in
            let network = try GoldenNetwork(name)
            return try network.backbone.network.features(
                parameters: try network.backbone.parameters(of: network.base), inputs: network.inputs, budget: budget)
        }
        #expect(features[0] == features[1])
    }

    // MARK: Reading

    /// A checkpoint like the expert with other parameters.
    private func write(_ parameters: FloatBuffer, _ network: GoldenNetwork) throws -> TensorStore {
        let path = folder.file("written.safetensors")
        let writer = try CheckpointFormat.makeWriter(
            try #require(CheckpointFormat.format(ofOutput: path)), at: path, declaring: network.expert.descriptors,
            metadata: Metadata(), options: WriteOptions(force: true, sync: false))
        try network.backbone.write(parameters: parameters, like: network.expert, into: writer)
        return try TensorStore(opening: path)
    }

    private func bytes(_ store: TensorStore, _ name: TensorName) throws -> [UInt8] {
        try #require(try store.bytes(of: name)).withUnsafeBytes { Array($0) }
    }

    private func values(_ store: TensorStore, _ name: TensorName) throws -> [Float] {
        try #require(try store.bytes(of: name)).withUnsafeBytes { raw in
            (0..<raw.count / 4).map { raw.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        }
    }

    /// The elements whose gradient is zero in mathematics, where AdamW turns rounding noise into steps: all, or a range of rows.
    private func noisyRows(of tensor: TensorDescriptor, _ run: JSONValue) throws -> Range<Int> {
        guard let noisy = run["zero_gradient"]?[tensor.name.text] else { return 0..<0 }
        guard let rows = noisy.array?.compactMap(\.int) else { return 0..<tensor.elementCount }
        let row = tensor.elementCount / tensor.shape.dims[0]
        return rows[0] * row..<rows[1] * row
    }
}

private func largestDifference(_ a: [Float], _ b: [Float]) -> Float {
    a.count == b.count ? zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) } : .infinity
}

/// A folder of `Fixtures/networks`, read as the tool reads it.
struct GoldenNetwork {
    let folder: FilePath
    let backbone: Backbone
    let base: TensorStore
    let expert: TensorStore
    /// `linear`, then `zeroshot`.
    let tasks: [TaskHead]
    let inputs: InputSet

    init(_ name: String) throws {
        folder = Fixtures.path("networks/\(name)")
        base = try TensorStore(opening: folder.appending("base.safetensors"))
        expert = try TensorStore(opening: folder.appending("expert.safetensors"))
        let backbone = try Backbone(of: base)
        tasks = try ["linear", "zeroshot"].map { [folder] in
            try backbone.taskHead(folder.appending("head_\($0).safetensors"), name: $0)
        }
        inputs = try DataFile(folder.appending("inputs.npz"), for: backbone, in: testContext).inputs
        self.backbone = backbone
    }

    func store(_ file: String) throws -> TensorStore { try TensorStore(opening: folder.appending(file)) }

    func outputs(_ name: String) throws -> [Float] {
        guard let bytes = try store("outputs.safetensors").bytes(of: TensorName(name)) else {
            throw MissingFixture(name: name)
        }
        return bytes.withUnsafeBytes { raw in
            (0..<raw.count / 4).map { raw.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        }
    }

    /// What is expected of a run with a task as the expert's own.
    func run(_ task: Int) throws -> JSONValue {
        let file = try MappedFile(folder.appending("expected.json"))
        let document = try file.withUnsafeBytes { try JSONDocument.parse(Array($0)) }
        guard let run = document["runs"]?[tasks[task].name] else { throw MissingFixture(name: tasks[task].name) }
        return run
    }

    func resolver(_ budget: ComputeBudget) throws -> Resolver {
        try Resolver(
            network: backbone.network, base: try backbone.parameters(of: base), tasks: tasks, auxiliary: inputs,
            options: ResolverOptions(steps: 5, batchSize: 4, learningRate: 1e-3, weightDecay: 1e-4), budget: budget)
    }
}
