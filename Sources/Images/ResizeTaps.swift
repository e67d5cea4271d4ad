import CKernels

/// The weighted sums that make the places of a resized row or column, in units of 2^-22.
///
/// The arithmetic is that of Pillow's `Resample.c`: the filter is widened by the reduction, weights are cut at the borders and made to
/// add up to 1 in F64, and rounded away from zero at half.
struct ResizeTaps {
    /// The pixels that are read.
    let sources: Range<Int>
    /// Where the pixels of each place begin, counted from the first of ``sources``.
    private let starts: [Int32]
    private let counts: [Int32]
    private let weights: [Int32]
    /// The room for the weights of one place.
    private let stride: Int

    /// The places `window` of `size` from an extent of `source` pixels.
    ///
    /// - Precondition: `window` lies within `0..<size` and is not empty.
    init(_ filter: Interpolation, from source: Int, to size: Int, window: Range<Int>) {
        let scale = Double(source) / Double(size)
        let pixels =
            filter == .nearest
            ? Self.nearest(source, scale, window)
            : window.map { Self.weighted(filter, source, centre: (Double($0) + 0.5) * scale, reduction: max(1, scale)) }
        // Neither begin nor end goes back from a place to the next.
        let (first, last) = (pixels[0], pixels[pixels.count - 1])
        sources = first.start..<last.start + last.weights.count
        starts = pixels.map { Int32($0.start - first.start) }
        counts = pixels.map { Int32($0.weights.count) }
        let stride = pixels.reduce(0) { max($0, $1.weights.count) }
        self.stride = stride
        weights = pixels.flatMap { $0.weights + repeatElement(0, count: stride - $0.weights.count) }
    }

    /// The first pixel of a place, and the weights from there on.
    private typealias Pixels = (start: Int, weights: [Int32])

    /// Adds up step by step, as Pillow does, so that ties fall to the same side; but not over the 16 million places and more before the
    /// middle of a picture that Pillow would not make.
    private static func nearest(_ source: Int, _ scale: Double, _ window: Range<Int>) -> [Pixels] {
        let first = window.lowerBound > 1 << 24 ? window.lowerBound : 0
        var centre = (Double(first) + 0.5) * scale
        return (first..<window.upperBound).compactMap { place in
            defer { centre += scale }
            return place < window.lowerBound ? nil : (min(source - 1, Int(centre)), [1 << 22])
        }
    }

    private static func weighted(
        _ filter: Interpolation, _ source: Int, centre: Double, reduction: Double
    ) -> Pixels {
        let support = filter.support * reduction
        let start = max(0, Int(centre - support + 0.5))
        let end = min(source, Int(centre + support + 0.5))
        let exact = (start..<end).map { filter.weight((Double($0) - centre + 0.5) * (1 / reduction)) }
        let sum = exact.reduce(0, +)
        return (
            start,
            exact.map { weight in
                let share = sum == 0 ? weight : weight / sum
                return Int32(share * Double(1 << 22) + (share < 0 ? -0.5 : 0.5))
            }
        )
    }

    /// Resizes rows, which begin `stride` bytes apart and at the first of ``sources``.
    ///
    /// - Returns: `[rows, places, channels]`.
    func resizedRows(_ x: UnsafePointer<UInt8>, stride: Int, rows: Int, channels: Int) -> [UInt8] {
        let count = rows * starts.count * channels
        return [UInt8](unsafeUninitializedCapacity: count) { out, initialized in
            starts.withUnsafeBufferPointer { starts in
                counts.withUnsafeBufferPointer { counts in
                    weights.withUnsafeBufferPointer { weights in
                        // Safety: the caller has the pixels of `sources` in each row, where all taps lie.
                        let taps = untangle_taps(
                            starts: starts.baseAddress, counts: counts.baseAddress, weights: weights.baseAddress,
                            stride: self.stride, out_count: starts.count)
                        untangle_resize_rows(x, stride, rows, Int32(channels), taps, out.baseAddress)
                    }
                }
            }
            initialized = count
        }
    }

    /// Resizes columns of rows of `width` bytes, which begin `stride` bytes apart; the first is that of the first of ``sources``.
    ///
    /// - Returns: `[places, width]`.
    func resizedColumns(_ x: UnsafePointer<UInt8>, stride: Int, width: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: starts.count * width) { out, initialized in
            weights.withUnsafeBufferPointer { weights in
                for place in starts.indices {
                    // Safety: the caller has the rows of `sources`, where all taps lie.
                    untangle_resize_column(
                        x + Int(starts[place]) * stride, stride, weights.baseAddress! + place * self.stride,
                        Int(counts[place]), width, out.baseAddress! + place * width)
                }
            }
            initialized = starts.count * width
        }
    }
}
