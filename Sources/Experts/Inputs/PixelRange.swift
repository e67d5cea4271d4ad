/// In what range the numbers of images lie, to tell inputs that a backbone was not trained on.
///
/// Normalised inputs have a mean near 0 and a standard deviation near 1: with the usual constants of ImageNet, CIFAR, CLIP
/// and MNIST all lie between -2.5 and 2.9, and images that were standardised one by one rarely beyond 10.
struct PixelRange {
    private(set) var least: Float = 0
    private(set) var largest: Float = 0
    private(set) var mean: Double = 0
    /// Whether all are whole numbers, as 8-bit values are.
    private(set) var isWhole = true

    /// Measures the values.
    ///
    /// - Precondition: the values are finite.
    init(of values: [Float]) {
        guard let first = values.first else { return }
        (least, largest) = (first, first)
        var sum = 0.0
        for value in values {
            least = min(least, value)
            largest = max(largest, value)
            sum += Double(value)
            isWhole = isWhole && value == value.rounded(.towardZero)
        }
        mean = sum / Double(values.count)
    }

    /// What is odd about the values, to follow the name of the file; nil when they may be normalised inputs.
    var oddity: String? {
        let range = "has values from \(least.short) to \(largest.short), mean \(Float(mean).short)"
        if isWhole, least >= 0, largest <= 255, largest > 8 {
            return "\(range), all whole: these look like 8-bit values stored as floats; "
                + "store them as uint8 to have them normalised"
        }
        guard max(-least, largest) > 30 || abs(mean) > 4 else { return nil }
        return "\(range), far outside of what normalised inputs have; "
            + "floating-point images are taken as they are, and uint8 ones are normalised"
    }
}

extension Float {
    /// Up to four digits.
    fileprivate var short: String { Double(self).short(4) }
}
