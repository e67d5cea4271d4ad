/// The k-th largest magnitude among numbers; 0 beyond their count.
///
/// - Precondition: `k` is at least 1, and no number is NaN.
/// - Cost: four passes over the numbers, 16 bits of their patterns in each, and 512 KiB.
public func largestMagnitude(number k: Int, among values: UnsafePointer<Double>, count: Int) -> Double {
    precondition(k >= 1)
    guard k <= count else { return 0 }
    var (prefix, wanted): (UInt64, Int) = (0, k)
    for shift in stride(from: 48 as UInt64, through: 0, by: -16) {
        var counts = [Int](repeating: 0, count: 1 << 16)
        for i in 0..<count {
            let bits = values[i].magnitude.bitPattern
            if shift == 48 || bits >> (shift + 16) == prefix { counts[Int(bits >> shift & 0xFFFF)] += 1 }
        }
        var bin = counts.count - 1
        while counts[bin] < wanted {
            wanted -= counts[bin]
            bin -= 1
        }
        prefix = prefix << 16 | UInt64(bin)
    }
    return Double(bitPattern: prefix)
}
