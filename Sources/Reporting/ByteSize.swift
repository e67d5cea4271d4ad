/// A number of bytes as people write it.
public struct ByteSize: Sendable, Hashable, CustomStringConvertible {
    public let byteCount: Int

    public init(_ byteCount: Int) { self.byteCount = byteCount }

    private static let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]

    /// Three significant digits and a binary unit: `512 B`, `1.50 KiB`, `12.3 MiB`, `1000 GiB`.
    public var description: String {
        var value = Double(byteCount)
        var unit = 0
        // 1023.5 and more would print as 1024 of the smaller unit.
        while abs(value) >= (unit == 0 ? 1024 : 1023.5), unit < Self.units.count - 1 {
            value /= 1024
            unit += 1
        }
        if unit == 0 { return "\(byteCount) B" }
        return "\(value.fixed(significantDigits: 3)) \(Self.units[unit])"
    }

    /// The size as options take it, in whole units and never less than it is: `512B`, `1217KiB`, `13MiB`.
    public var roundedUp: String {
        var (value, unit) = (byteCount, 0)
        // Four digits are more than anybody needs.
        while value > 9999, unit < Self.units.count - 1 {
            value = value / 1024 + (value % 1024 == 0 ? 0 : 1)
            unit += 1
        }
        return "\(value)\(Self.units[unit])"
    }

    /// Reads a size: a number, optionally with a fraction, and a unit.
    ///
    /// `K`, `M`, `G`, `T` and `KiB`, `MiB`, ... are powers of 1024; `KB`, `MB`, ... are powers of 1000, as in GNU tools; no unit or `B`
    /// means bytes. Upper and lower case are equal. A fraction of a byte is dropped.
    ///
    /// - Returns: nil when the text is no size or the size exceeds 63 bits.
    public init?(parsing text: String) {
        let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        let unit = text.dropFirst(digits.count).drop { $0 == " " }.lowercased()
        guard let factor = Self.factor(ofUnit: unit) else { return nil }
        let parts = digits.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let whole = Int(first) else { return nil }
        let (wholeBytes, overflow) = whole.multipliedReportingOverflow(by: factor)
        guard !overflow else { return nil }
        var fractionBytes = 0
        if parts.count == 2 {
            // More than 15 digits of a fraction say nothing about bytes.
            guard parts[1].allSatisfy(\.isNumber), !parts[1].isEmpty, let fraction = Double("0." + parts[1].prefix(15))
            else { return nil }
            fractionBytes = Int(fraction * Double(factor))
        }
        let (sum, sumOverflow) = wholeBytes.addingReportingOverflow(fractionBytes)
        guard !sumOverflow else { return nil }
        byteCount = sum
    }

    private static func factor(ofUnit unit: String) -> Int? {
        if unit.isEmpty || unit == "b" { return 1 }
        guard let letter = unit.first, let place = "kmgtp".firstIndex(of: letter) else { return nil }
        let exponent = "kmgtp".distance(from: "kmgtp".startIndex, to: place) + 1
        let base: Int
        switch unit.dropFirst() {
        case "", "ib": base = 1024
        case "b": base = 1000
        default: return nil
        }
        return (0..<exponent).reduce(1) { product, _ in product * base }
    }
}
