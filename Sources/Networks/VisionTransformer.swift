import Kernels
import Synchronization
import TensorCore

/// A vision transformer: from images to features, for inference and for training.
///
/// The value holds no parameters. They come as one flat vector that `layout` describes, so that merging, optimising and
/// copying a model are loops over one array.
public struct VisionTransformer: Sendable {
    public let config: VisionTransformerConfig
    public let layout: ParameterLayout
    let offsets: ModelOffsets

    /// Plans the parameters of an architecture.
    ///
    /// - Throws: `NetworkError` `network.bad_config` when the architecture contradicts itself.
    public init(_ config: VisionTransformerConfig) throws(NetworkError) {
        try config.validate()
        self.config = config
        layout = ParameterLayout(config)
        offsets = ModelOffsets(layout, config)
    }

    /// The length of a parameter vector.
    public var parameterCount: Int { layout.count }

    /// The features of images.
    ///
    /// - Shapes: `parameters` `[parameterCount]`; the result is `[N, featureSize]`, row-major.
    /// - Throws: as `features(parameters:sets:budget:)`.
    public func features(
        parameters: [Float], images: ImageSet, budget: ComputeBudget
    ) throws(NetworkError) -> [Float] {
        try features(parameters: parameters, sets: [images], budget: budget)[0]
    }

    /// The features of the images of several sets.
    ///
    /// - Shapes: `parameters` `[parameterCount]`; the result is `[N, featureSize]` for every set, row-major.
    /// - Cost: images are cut in chunks of a fixed size that workers take as they get free; results do not depend on the number
    ///   of threads, or on the other sets.
    /// - Throws: `NetworkError` when sizes do not fit or memory is short.
    public func features(
        parameters: [Float], sets: [ImageSet], budget: ComputeBudget
    ) throws(NetworkError) -> [[Float]] {
        try features(
            parameters: parameters, selections: sets.map { ($0, Array(0..<$0.count)) },
            chunkSize: max(1, min(32, 2048 / config.tokenCount)), budget: budget)
    }

    /// The features of chosen images of a set, in the order of `rows`, computed `chunkSize` at a time.
    ///
    /// The last bits of a feature depend on the chunk's size, because OpenBLAS adds up in another order for matrices of
    /// another size.
    ///
    /// - Precondition: every row lies inside the set.
    package func features(
        parameters: [Float], images: ImageSet, rows: [Int], chunkSize: Int, budget: ComputeBudget
    ) throws(NetworkError) -> [Float] {
        try features(parameters: parameters, selections: [(images, rows)], chunkSize: chunkSize, budget: budget)[0]
    }

    private func features(
        parameters: [Float], selections: [(images: ImageSet, rows: [Int])], chunkSize: Int, budget: ComputeBudget
    ) throws(NetworkError) -> [[Float]] {
        try check(parameters: parameters)
        var chunks: [(selection: Int, rows: Range<Int>)] = []
        var results: [FloatBuffer] = []
        let width = config.featureSize
        for (selection, (images, rows)) in selections.enumerated() {
            try check(images)
            precondition(rows.allSatisfy { 0..<images.count ~= $0 }, "a row lies outside of the set")
            for start in stride(from: 0, to: rows.count, by: chunkSize) {
                chunks.append((selection, start..<min(rows.count, start + chunkSize)))
            }
            do { results.append(try FloatBuffer(count: rows.count * width)) } catch { throw NetworkError(error) }
        }
        let workerCount = max(1, min(budget.threads, chunks.count))
        var workspaces: [TransformerWorkspace] = []
        for _ in 0..<workerCount {
            workspaces.append(try TransformerWorkspace(self, capacity: chunkSize, purpose: .inference))
        }
        let idle = Mutex(workspaces)
        let (buffers, work) = (results, chunks)
        parallel(count: work.count, threads: workerCount) { number in
            guard let workspace = idle.withLock({ $0.popLast() }) else {
                preconditionFailure("there are as many workspaces as workers")
            }
            defer { idle.withLock { $0.append(workspace) } }
            let (selection, range) = work[number]
            // Safety: each chunk writes its own rows of a result, and arrays outlive the calls.
            parameters.withUnsafeBufferPointer { parameters in
                selections[selection].images.values.withUnsafeBufferPointer { images in
                    selections[selection].rows.withUnsafeBufferPointer { rows in
                        guard let p = parameters.baseAddress, let images = images.baseAddress,
                            let rows = rows.baseAddress
                        else { return }
                        let features = workspace.forward(
                            p, images: images, rows: rows + range.lowerBound, count: range.count)
                        (buffers[selection].pointer + range.lowerBound * width)
                            .update(from: features, count: range.count * width)
                    }
                }
            }
        }
        return results.map { Array($0.values) }
    }

    /// Checks the length of a parameter vector.
    ///
    /// - Throws: `NetworkError` `network.parameter_count` when the vector has another length.
    public func check(parameters: [Float]) throws(NetworkError) {
        guard parameters.count == layout.count else {
            throw NetworkError(
                .parameterCount,
                "the architecture has \(layout.count) parameters, but the vector holds \(parameters.count)",
                hint: "check that config.json belongs to the checkpoint")
        }
    }

    /// Checks the size of images.
    ///
    /// - Throws: `NetworkError` `network.bad_images` when the images are not of the size the model takes.
    public func check(_ images: ImageSet) throws(NetworkError) {
        guard images.channels == config.channels, images.height == config.imageHeight,
            images.width == config.imageWidth
        else {
            throw NetworkError(
                .badImages,
                "the images are [\(images.channels), \(images.height), \(images.width)], but the model takes "
                    + "[\(config.channels), \(config.imageHeight), \(config.imageWidth)]",
                hint: "sizes are [channels, height, width]; resize the images, or give the right config")
        }
    }
}

/// Where the tensors start in the parameter vector.
struct ModelOffsets: Sendable {
    let cls, position, patchWeight: Int
    let patchBias: Int?
    let preNormWeight, preNormBias: Int?
    let blocks: [BlockOffsets]
    let normWeight, normBias: Int
    let projection: Int?

    init(_ layout: ParameterLayout, _ config: VisionTransformerConfig) {
        func start(_ name: TensorName) -> Int? { layout[name]?.range.lowerBound }
        func required(_ name: TensorName) -> Int {
            guard let offset = start(name) else { preconditionFailure("the layout has no \(name)") }
            return offset
        }
        cls = required("cls_token")
        position = required("pos_embed")
        patchWeight = required("patch_embed.proj.weight")
        patchBias = start("patch_embed.proj.bias")
        preNormWeight = start("norm_pre.weight")
        preNormBias = start("norm_pre.bias")
        blocks = (0..<config.layerCount).map { BlockOffsets(layout, block: $0) }
        let norm = config.finalNorm == .beforePooling ? "norm" : "fc_norm"
        normWeight = required(TensorName(norm + ".weight"))
        normBias = required(TensorName(norm + ".bias"))
        projection = start("head.weight")
    }
}
