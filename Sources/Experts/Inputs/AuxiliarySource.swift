import Checkpoints
import Interference
import Kernels
import Networks
import SystemPackage
import TensorCore

/// Where unlabelled auxiliary inputs come from.
public enum AuxiliarySource: Sendable, Hashable {
    /// A data file; its labels, if there are any, are not looked at.
    case file(FilePath)
    /// Standard normal numbers in the normalised input space.
    case noise(count: Int, seed: UInt64)

    /// As many as the eight-task suite was measured with.
    public static let defaultNoiseCount = 2048
    /// How many there may be.
    public static let noiseCounts = 1...1 << 30

    /// `noise`, or the path of a data file.
    public init(_ text: String, noiseCount: Int = defaultNoiseCount, seed: UInt64 = 0) {
        self = text == "noise" ? .noise(count: noiseCount, seed: seed) : .file(FilePath(text))
    }

    /// Opens the data file, so that one that is none is found out before anything else is done.
    ///
    /// - Returns: nil for noise.
    /// - Throws: what `DataFile.open` throws.
    package func open() throws -> TensorStore? {
        guard case .file(let path) = self else { return nil }
        return try DataFile.open(path)
    }

    /// The inputs, as a backbone takes them.
    ///
    /// - Parameter warn: told what should be known of a data file.
    /// - Throws: what `DataFile` throws; `io.memory`, `network.*` for noise beyond all bounds; `input.missing_data` for noise where the
    ///   network takes texts.
    package func inputs(for backbone: Backbone, budget: ComputeBudget, warn: (Warning) -> Void) throws -> InputSet {
        switch (self, backbone.network.input) {
        case (.file(let path), let input):
            let file = try DataFile(
                path, for: input, normalization: backbone.normalization, options: backbone.reading)
            file.warnings.forEach(warn)
            return file.inputs
        case (.noise, .tokens):
            throw InputError(
                .missingData, "noise is made of images, and the model takes texts",
                hint: "give a file with \"input_ids\" [N, T]: any texts will do")
        case (.noise(let count, let seed), .images(let shape)):
            // The numbers are made in one buffer and handed over in another.
            let (numbers, overflow) = count.multipliedReportingOverflow(by: shape.elementCount)
            try requireMemory(count: overflow || numbers > .max / 2 ? .max : 2 * numbers, of: Float.self)
            return .images(try noiseImages(count: count, of: shape, seed: seed, budget: budget))
        }
    }
}
