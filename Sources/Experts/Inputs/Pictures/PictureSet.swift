import Checkpoints
import Images
import Networks
import Reporting
import SystemPackage
import TensorCore
import Work

/// The pictures of a collection as a network takes them: decoded, brought to its size, and normalised.
///
/// Sets that fit into a part of the memory are decoded at once, others a batch at a time, with the same numbers.
struct PictureSet {
    let inputs: InputSet
    /// The class of each; nil without classes.
    let labels: ClassLabels?
    /// Pictures that were left out because they cannot be decoded, with the reason.
    let skipped: [(name: String, reason: String)]

    /// Decodes what fits into memory.
    ///
    /// - Throws: `picture.*` and `input.bad_archive` for a picture that cannot be decoded, unless bad ones are to be skipped;
    ///   `input.missing_data` when none is left.
    init(_ collection: PictureCollection, _ shape: ImageShape, for backbone: Backbone, in context: Context) throws {
        let decoder = PictureDecoder(
            collection: collection, preparation: try backbone.picturePreparation(), shape: shape, context: context)
        let (byteCount, overflow) = collection.entries.count.multipliedReportingOverflow(by: shape.elementCount)
        let isHeld = !overflow && byteCount <= DataOptions.heldByteCount(in: context)
        let table = backbone.normalization.table(channels: shape.channels)
        context.progress.begin(
            "reading pictures of \(collection.path.string)", total: collection.entries.count, unit: .items("pictures"))
        defer { context.progress.end() }
        var good = Array(collection.entries.indices)
        var pixels: [UInt8] = []
        var skipped: [(name: String, reason: String)] = []
        if isHeld {
            try requireMemory(count: byteCount, of: UInt8.self)
            let result = try decoder.decodeAll(skippingBad: backbone.data.skipsBad)
            (pixels, good, skipped) = (result.pixels, result.good, result.skipped)
        } else if backbone.data.skipsBad {
            (good, skipped) = try decoder.check()
        }
        guard !good.isEmpty else {
            throw InputError(
                .missingData,
                "no picture of \(collection.path.string) can be decoded, of \(collection.entries.count)",
                file: collection.path,
                hint: skipped.first.map { "the first: \($0.reason)" })
        }
        // A class keeps its number when none of its pictures can be read.
        labels = collection.classes.map { classes in
            .texts(good.map { classes[$0] }, names: skipped.isEmpty ? nil : classes)
        }
        self.skipped = skipped
        if isHeld {
            inputs = .images(try ImageSet(pixels: pixels, table: table, count: good.count, shape: shape))
        } else {
            inputs = .stream(
                try ImageStream(count: good.count, shape: shape, imageByteCount: shape.elementCount) { [good] rows in
                    let pixels = try decoder.pixels(of: rows.map { good[$0] })
                    return try ImageSet(pixels: pixels, table: table, count: rows.count, shape: shape)
                })
        }
    }
}

/// Decodes pictures of a collection to the size of a network.
private struct PictureDecoder: Sendable {
    let collection: PictureCollection
    let preparation: PicturePreparation
    let shape: ImageShape
    let threads: Int
    let pixelLimit: Int
    let progress: any ProgressSink

    init(collection: PictureCollection, preparation: PicturePreparation, shape: ImageShape, context: Context) {
        self.collection = collection
        self.preparation = preparation
        self.shape = shape
        threads = context.budget.threads
        // Decoded pixels, turned ones and the intermediate result of resizing stand side by side in every thread.
        pixelLimit = min(
            Picture.standardPixelLimit, (context.memory ?? .max) / (12 * context.budget.threads))
        progress = context.progress
    }

    /// Decodes one picture to `[C, H, W]`.
    ///
    /// - Throws: `picture.*` with the file, `input.bad_archive`, `IOError`.
    private func decode(_ number: Int, to pixels: UnsafeMutablePointer<UInt8>) throws {
        let entry = collection.entries[number]
        try collection.withBytes(of: entry) { bytes in
            do throws(PictureError) {
                preparation.apply(try Picture(decoding: bytes, maxPixelCount: pixelLimit), into: pixels)
            } catch {
                throw InputError(error, in: collection.path, item: collection.label(of: entry))
            }
        }
    }

    func pixels(of numbers: [Int]) throws -> [UInt8] {
        try buffer(numbers.count) { pixels in
            for (place, number) in numbers.enumerated() {
                try decode(number, to: pixels + place * shape.elementCount)
            }
        }
    }

    func decodeAll(
        skippingBad: Bool
    ) throws -> (pixels: [UInt8], good: [Int], skipped: [(name: String, reason: String)]) {
        let count = collection.entries.count
        var outcomes: [Outcome] = []
        var pixels = try buffer(count) { pixels in
            // Safety: every picture fills its own part.
            nonisolated(unsafe) let target = pixels
            outcomes = try parallelMap(count: count, threads: threads) { number in
                defer { progress.advance(by: 1) }
                return try outcome(number, skippingBad) { try decode(number, to: target + number * shape.elementCount) }
            }
        }
        let good = (0..<count).filter { outcomes[$0] == .good }
        for (place, number) in good.enumerated() where place != number {
            let (from, to) = (number * shape.elementCount, place * shape.elementCount)
            for i in 0..<shape.elementCount { pixels[to + i] = pixels[from + i] }
        }
        pixels.removeLast((count - good.count) * shape.elementCount)
        return (pixels, good, named(outcomes))
    }

    /// Finds the pictures that cannot be decoded.
    func check() throws -> (good: [Int], skipped: [(name: String, reason: String)]) {
        let count = collection.entries.count
        let outcomes = try parallelMap(count: count, threads: threads) { number in
            defer { progress.advance(by: 1) }
            return try outcome(number, true) { _ = try pixels(of: [number]) }
        }
        return ((0..<count).filter { outcomes[$0] == .good }, named(outcomes))
    }

    /// What came of one picture.
    private enum Outcome: Equatable {
        case good
        case bad(String)
    }

    private func outcome(_ number: Int, _ skippingBad: Bool, _ decoding: () throws -> Void) throws -> Outcome {
        do {
            try decoding()
            return .good
        } catch let error as InputError where skippingBad {
            return .bad(error.message)
        }
    }

    private func named(_ outcomes: [Outcome]) -> [(name: String, reason: String)] {
        outcomes.enumerated().compactMap { number, outcome in
            guard case .bad(let reason) = outcome else { return nil }
            return (collection.label(of: collection.entries[number]), reason)
        }
    }

    private func buffer(_ count: Int, _ fill: (UnsafeMutablePointer<UInt8>) throws -> Void) throws -> [UInt8] {
        let size = count * shape.elementCount
        return try [UInt8](unsafeUninitializedCapacity: size) { pixels, filled in
            if let start = pixels.baseAddress {
                // What a skipped picture leaves is cut off, but an array holds no bytes that were never written.
                start.initialize(repeating: 0, count: size)
                try fill(start)
            }
            filled = size
        }
    }
}
