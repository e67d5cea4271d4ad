import Interference
import Networks
import TensorCore
import TestSupport
import Testing

/// What is said before a run; that it is what a run takes is measured in `ResolveTests` and docs/interference.md.
@Suite("the memory that resolving takes") struct ResolverFootprintTests {
    let network: Transformer
    let tasks: [TaskHead]
    let images: InputSet

    init() throws {
        let shape = ImageShape(channels: 1, height: 32, width: 32)
        network = try Transformer(
            TransformerConfig(
                stem: .patches(PatchStem(image: shape, patchSize: 4)), hiddenSize: 16, layerCount: 2, headCount: 2,
                mlpSize: 32))
        images = .images(
            try ImageSet(
                values: [Float](repeating: 0, count: 8 * shape.elementCount), count: 8, shape: shape))
        tasks = [
            TaskHead(
                name: "task",
                head: try ClassificationHead(
                    name: "task", weight: [Float](repeating: 1, count: 48), classCount: 3))
        ]
    }

    private func byteCount(frozen: [Range<Int>] = [], threads: Int) -> Int {
        let options = ResolverOptions(steps: 1, batchSize: 8, learningRate: 1e-3, shardCount: 1)
        return ResolverFootprint(
            network, tasks: tasks, auxiliary: images, options: options, frozen: FrozenParameters(frozen),
            threads: threads
        ).byteCount
    }

    @Test("frozen parameters have no moments")
    func frozen() {
        #expect(byteCount(threads: 1) - byteCount(frozen: [0..<1000], threads: 1) == 2 * 4 * 1000)
    }

    @Test("no more threads compute outputs than there are chunks of inputs")
    func chunks() { #expect(byteCount(threads: 64) == byteCount(threads: 1)) }
}
