import Checkpoints
import Kernels
import SystemPackage
import TensorCore

/// A checkpoint with the matrices of its linear layers as 8-bit floats and scales, which are worked out as they are read.
///
/// A scale is the largest magnitude of its block or row over 448; codes are rounded to nearest even.
public struct FP8Checkpoint: CheckpointReader {
    public let descriptors: [TensorDescriptor]
    public let layout: FP8Layout
    /// The modules of matrices that keep their type.
    public let keptModules: [String]
    private let source: any CheckpointReader
    private let tensors: [Tensor]

    private struct Tensor {
        enum Form { case stored, codes, scales }

        /// The place in the source.
        let place: Int
        let form: Form
    }

    /// Shows a checkpoint.
    ///
    /// - Parameter selection: the tensors that matter.
    /// - Throws: `convert.nothing_to_quantize` when no selected tensor can be stored so; `convert.duplicate_name` when a scale has the
    ///   name of another tensor.
    public init(
        _ source: any CheckpointReader, as layout: FP8Layout, selection: TensorSelection
    ) throws {
        self.source = source
        self.layout = layout
        var tensors: [Tensor] = []
        var descriptors: [TensorDescriptor] = []
        var kept: [String] = []
        let names = Set(source.descriptors.map(\.name))
        for (place, tensor) in source.descriptors.enumerated() {
            guard selection.contains(tensor.name), layout.takes(tensor) else {
                tensors.append(Tensor(place: place, form: .stored))
                descriptors.append(tensor)
                if tensor.shape.rank == 2, tensor.name.text.hasSuffix(".weight") {
                    kept.append(String(tensor.name.text.dropLast(7)))
                }
                continue
            }
            let parts = try layout.parts(of: tensor)
            if names.contains(parts.scales.name) {
                throw ConversionError.input(
                    "duplicate_name",
                    "the scales of \"\(tensor.name)\" would be named \"\(parts.scales.name)\", as another tensor is",
                    file: source.path.string, tensor: tensor.name)
            }
            tensors += [Tensor(place: place, form: .codes), Tensor(place: place, form: .scales)]
            descriptors += [parts.codes, parts.scales]
        }
        guard tensors.contains(where: { $0.form == .codes }) else {
            throw ConversionError.input(
                "nothing_to_quantize",
                "no selected tensor of \(source.path.string) is a matrix of a linear layer that \(layout.rawValue) can store",
                file: source.path.string,
                hint: layout == .blocks ? "fp8 takes matrices of whole blocks of 128 x 128; fp8-channel takes any" : nil
            )
        }
        self.tensors = tensors
        self.descriptors = descriptors
        keptModules = kept
    }

    public var format: FormatID { source.format }
    public var path: FilePath { source.path }
    public var files: [FilePath] { source.files }
    public var metadata: Metadata { source.metadata }
    public var warnings: [Warning] { source.warnings }
    public var unreadable: [UnreadableMember] { source.unreadable }
    public func location(of index: Int) -> StoredLocation { source.location(of: tensors[index].place) }

    public func isMapped(_ index: Int) -> Bool {
        tensors[index].form == .stored && source.isMapped(tensors[index].place)
    }

    public func canReadRanges(of index: Int) -> Bool { source.canReadRanges(of: tensors[index].place) }

    /// What a row of blocks makes, or a few rows.
    public func decodedTogetherByteCount(of index: Int) -> Int {
        let tensor = tensors[index]
        guard tensor.form != .stored else { return source.decodedTogetherByteCount(of: tensor.place) }
        let dims = descriptors[index].shape.dims
        guard canReadRanges(of: index) else { return descriptors[index].byteCount }
        let stripe = tensor.form == .codes ? stripeRowCount * dims[1] : stripeScaleCount(of: tensor.place)
        return min(descriptors[index].byteCount, stripe * descriptors[index].dtype.bitWidth / 8)
    }

    public func bytes(of index: Int) throws -> TensorBytes {
        if tensors[index].form == .stored { return try source.bytes(of: tensors[index].place) }
        let buffer = try AlignedBuffer(byteCount: descriptors[index].byteCount, isZeroed: false)
        try read(0..<buffer.byteCount, of: index, into: buffer.mutableBytes)
        return TensorBytes(decoded: buffer)
    }

    /// Reads part of a tensor.
    ///
    /// - Throws: `convert.not_finite` for a weight with NaN or infinities, which no scale makes 8-bit floats of; what the source throws.
    public func read(_ range: Range<Int>, of index: Int, into target: UnsafeMutableRawBufferPointer) throws {
        let tensor = tensors[index]
        guard tensor.form != .stored else { return try source.read(range, of: tensor.place, into: target) }
        guard !range.isEmpty else { return }
        let shape = source.descriptors[tensor.place].shape.dims
        let width = descriptors[index].dtype.bitWidth / 8
        let stripeByteCount =
            width * (tensor.form == .codes ? stripeRowCount * shape[1] : stripeScaleCount(of: tensor.place))
        let stripes = range.lowerBound / stripeByteCount..<(range.upperBound - 1) / stripeByteCount + 1
        let window = try source.canReadRanges(of: tensor.place) ? nil : source.bytes(of: tensor.place)
        for number in stripes {
            let rows = number * stripeRowCount..<min(shape[0], (number + 1) * stripeRowCount)
            let stripe = try Stripe(
                of: source, tensor.place, rows: rows, layout: layout, all: window, hasCodes: tensor.form == .codes)
            let made = number * stripeByteCount..<number * stripeByteCount + stripe.byteCount
            let wanted = made.clamped(to: range)
            stripe.withBytes { bytes in
                UnsafeMutableRawBufferPointer(rebasing: target[(wanted.lowerBound - range.lowerBound)...]).copyMemory(
                    from: UnsafeRawBufferPointer(
                        rebasing: bytes[wanted.lowerBound - made.lowerBound..<wanted.upperBound - made.lowerBound]))
            }
        }
    }

    public func verify(
        deep: Bool, threads: Int, progress: @escaping @Sendable (Int) -> Void
    ) throws -> Verification {
        try source.verify(deep: deep, threads: threads, progress: progress)
    }

    /// The rows that are encoded together.
    private var stripeRowCount: Int { layout == .blocks ? FP8Layout.blockSize : 16 }

    private func stripeScaleCount(of place: Int) -> Int {
        layout == .blocks ? source.descriptors[place].shape.dims[1] / FP8Layout.blockSize : stripeRowCount
    }
}

/// Some rows of a weight as codes, or the scales of these.
private struct Stripe {
    private let result: [UInt8]
    var byteCount: Int { result.count }

    func withBytes(_ body: (UnsafeRawBufferPointer) -> Void) { result.withUnsafeBytes(body) }

    /// Encodes rows.
    ///
    /// - Parameters:
    ///   - rows: those of a row of blocks, or any.
    ///   - all: the tensor's bytes, where it decodes only whole.
    init(
        of source: any CheckpointReader, _ place: Int, rows: Range<Int>, layout: FP8Layout, all: TensorBytes?,
        hasCodes: Bool
    ) throws {
        let tensor = source.descriptors[place]
        let columns = tensor.shape.dims[1]
        let width = tensor.dtype.bitWidth / 8
        let range = rows.lowerBound * columns * width..<rows.upperBound * columns * width
        let numbers = try AlignedBuffer(byteCount: rows.count * columns * MemoryLayout<Float>.size, isZeroed: false)
        // Safety: the buffer is aligned, and has room for the rows.
        let values = numbers.mutableBytes.assumingMemoryBound(to: Float.self)
        if let all = try all ?? (source.isMapped(place) ? source.bytes(of: place) : nil) {
            all.withUnsafeBytes { widen(UnsafeRawBufferPointer(rebasing: $0[range]), tensor.dtype, into: values) }
        } else {
            let stored = try AlignedBuffer(byteCount: range.count, isZeroed: false)
            try source.read(range, of: place, into: stored.mutableBytes)
            withExtendedLifetime(stored) { widen(stored.bytes, tensor.dtype, into: values) }
        }
        let x = UnsafePointer(values.baseAddress!)
        let largest = try withExtendedLifetime(numbers) {
            let size = layout == .blocks ? FP8Layout.blockSize : columns
            var largest = [Float](repeating: 0, count: layout == .blocks ? columns / size : rows.count)
            var isFinite = true
            for row in 0..<rows.count {
                for start in stride(from: 0, to: columns, by: size) {
                    let cell = layout == .blocks ? start / size : row
                    let magnitude = largestMagnitude(x + row * columns + start, count: min(size, columns - start))
                    isFinite = isFinite && magnitude.isFinite
                    largest[cell] = max(largest[cell], magnitude)
                }
            }
            guard isFinite else {
                throw ConversionError.input(
                    "not_finite",
                    "tensor \"\(tensor.name)\" holds NaN or infinities, which have no code beside a scale",
                    file: source.path.string, tensor: tensor.name, hint: "--exclude it from the conversion")
            }
            return largest
        }
        result = withExtendedLifetime(numbers) {
            switch (layout, hasCodes) {
            case (.blocks, true): Self.blockCodes(x, rows: rows.count, columns: columns, largest)
            case (.rows, true): Self.rowCodes(x, rows: rows.count, columns: columns, largest, tensor.dtype)
            case (.blocks, false): Self.bytes(of: largest.map { 1 / Self.factor($0) }, as: .f32)
            case (.rows, false): Self.bytes(of: largest.map(Self.scale), as: tensor.dtype)
            }
        }
    }

    /// What the numbers of a block are multiplied with, of which the inverse is stored; in the order in which torch divides a number by a
    /// tensor.
    private static func factor(_ largest: Float) -> Float { largest > 0 ? 1 / largest * FP8Layout.largest : 1 }

    /// What the numbers of a row are divided by.
    private static func scale(_ largest: Float) -> Float { largest > 0 ? largest / FP8Layout.largest : 1 }

    private static func blockCodes(
        _ x: UnsafePointer<Float>, rows: Int, columns: Int, _ largest: [Float]
    ) -> [UInt8] {
        codes(rows * columns) { codes in
            let size = FP8Layout.blockSize
            for row in 0..<rows {
                for (block, largest) in largest.enumerated() {
                    let start = row * columns + block * size
                    encodeE4M3(x + start, count: size, times: factor(largest), into: codes + start)
                }
            }
        }
    }

    /// The codes of rows by their scales as these are stored.
    private static func rowCodes(
        _ x: UnsafePointer<Float>, rows: Int, columns: Int, _ largest: [Float], _ dtype: DType
    ) -> [UInt8] {
        let stored = bytes(of: largest.map(scale), as: dtype)
        var scales = [Float](repeating: 0, count: rows)
        stored.withUnsafeBytes { stored in
            scales.withUnsafeMutableBufferPointer { widen(stored, dtype, into: $0) }
        }
        return codes(rows * columns) { codes in
            for row in 0..<rows {
                // A scale below the type's least number.
                let divisor = scales[row] > 0 ? scales[row] : .infinity
                encodeE4M3(x + row * columns, count: columns, over: divisor, into: codes + row * columns)
            }
        }
    }

    private static func codes(_ count: Int, _ fill: (UnsafeMutablePointer<UInt8>) -> Void) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            if let start = buffer.baseAddress { fill(start) }
            filled = count
        }
    }

    private static func bytes(of numbers: [Float], as dtype: DType) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: numbers.count * dtype.bitWidth / 8)
        bytes.withUnsafeMutableBytes { target in
            numbers.withUnsafeBufferPointer { _ = narrow($0, into: target, as: dtype) }
        }
        return bytes
    }
}
