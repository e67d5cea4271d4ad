import Checkpoints
import Interference
import Kernels
import Networks
import TensorCore
import Tokenization
import Work

/// Auxiliary inputs that are made where there are none.
public struct GeneratedInputs: Sendable, Hashable, Encodable {
    /// What is made.
    public var kind: Kind
    /// How many inputs.
    public var count: Int
    /// Inputs of another seed are other ones.
    public var seed: UInt64

    /// What is made.
    public enum Kind: String, Sendable, CaseIterable, Encodable {
        /// Images of standard normal numbers in the normalised input space.
        case noise
        /// Images of lines, forms and textures.
        case shapes
        /// Texts of random pieces of the vocabulary.
        case tokens
    }

    /// As many as the suites were measured with.
    public static let defaultCount = 2048
    /// How many there may be.
    public static let counts = 1...1 << 30

    /// Inputs of a kind.
    public init(_ kind: Kind, count: Int = defaultCount, seed: UInt64 = 0) {
        (self.kind, self.count, self.seed) = (kind, count, seed)
    }

    /// Makes the inputs; those of a lower number do not depend on the number.
    ///
    /// - Throws: `io.memory`, `network.*` for inputs beyond all bounds; `input.missing_data` where the network takes another kind;
    ///   what reading the tokenizer throws.
    func inputs(for backbone: Backbone, in context: Context) throws -> InputSet {
        switch (kind, backbone.network.input) {
        case (.noise, .images(let shape)):
            try context.requireRoom(
                for: "\(count) images of noise", count: count,
                byteCountEach: shape.elementCount > .max / 8 ? .max : 8 * shape.elementCount)
            // The numbers are made in one buffer and handed over in another.
            let (numbers, overflow) = count.multipliedReportingOverflow(by: shape.elementCount)
            try requireMemory(count: overflow || numbers > .max / 2 ? .max : 2 * numbers, of: Float.self)
            return .images(try noiseImages(count: count, of: shape, seed: seed, budget: context.budget))
        case (.shapes, .images(let shape)):
            try context.requireRoom(for: "\(count) images", count: count, byteCountEach: shape.elementCount)
            return .images(try shapes(shape, backbone.normalization, context))
        case (.tokens, .tokens(let shape)):
            let texts = try RandomTexts(backbone, shape)
            try context.requireRoom(for: "\(count) texts", count: count, byteCountEach: texts.byteCountEach)
            return .tokens(try texts.texts(count: count, seed: seed))
        case (_, .tokens):
            throw InputError(
                .missingData, "\(kind.rawValue) is made of images, and the model takes texts",
                hint: "\"tokens\" makes random texts; any texts will do better")
        case (_, .images):
            throw InputError(
                .missingData, "tokens are texts, and the model takes images",
                hint: "\"shapes\" makes images; any images will do better")
        }
    }

    private func shapes(
        _ shape: ImageShape, _ normalization: ImageNormalization, _ context: Context
    ) throws -> ImageSet {
        let (byteCount, overflow) = count.multipliedReportingOverflow(by: shape.elementCount)
        try requireMemory(count: overflow ? .max : byteCount, of: UInt8.self)
        let pixels = [UInt8](unsafeUninitializedCapacity: byteCount) { pixels, filled in
            // Safety: every picture fills its own part.
            nonisolated(unsafe) let target = pixels.baseAddress!
            parallel(count: count, threads: context.budget.threads) { number in
                ShapePicture(shape, seed: seed, number: number).write(to: target + number * shape.elementCount)
            }
            filled = byteCount
        }
        return try ImageSet(
            pixels: pixels, table: normalization.table(channels: shape.channels), count: count, shape: shape)
    }
}
