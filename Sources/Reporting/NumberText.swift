import Glibc

extension BinaryInteger {
    /// The number with its thousands separated by commas: `1,234,567`.
    public var grouped: String {
        let digits = String(magnitude)
        var text = self < 0 ? "-" : ""
        for (position, digit) in digits.enumerated() {
            if position > 0, (digits.count - position) % 3 == 0 { text += "," }
            text.append(digit)
        }
        return text
    }
}

extension Double {
    /// Up to `digits` significant digits without padding zeros, with an exponent when the number is very large or small, as C's
    /// `%g` prints: `0.0123`, `1.5e-07`, `nan`.
    public func short(_ digits: Int = 4) -> String {
        if isNaN { return "nan" }
        return Self.print("%.*g", Int32(digits), self)
    }

    /// `digits` significant digits in plain notation, for numbers of 1 and more; never fewer than the whole part has: `1.50`, `12.3`,
    /// `1000`.
    package func fixed(significantDigits digits: Int) -> String {
        var decimals = digits - 1
        var bound = 10.0
        // Compared after rounding, so that 9.996 becomes 10.0 and not 10.00.
        while decimals > 0, abs(self) + 0.5 * pow(10, -Double(decimals)) >= bound {
            decimals -= 1
            bound *= 10
        }
        return Self.print("%.*f", Int32(decimals), self)
    }

    /// Plain notation with a fixed number of decimals, so that a column lines up: `78.1`. From a thousand million on, whose digits nobody
    /// reads, as `short` has it: `5e+29`.
    public func decimals(_ count: Int) -> String {
        guard !isNaN else { return "nan" }
        guard abs(self) < 1e9 else { return short() }
        let text = Self.print("%.*f", Int32(count), self)
        // Rounding noise below zero is no reason for a sign.
        return text.hasPrefix("-") && !text.contains { ("1"..."9").contains($0) || $0 == "i" }
            ? String(text.dropFirst()) : text
    }

    /// A share in percent with one decimal: `78.1 %`; `nan` without a unit.
    public var percent: String { isNaN ? "nan" : (self * 100).decimals(1) + " %" }

    private static func print(_ format: String, _ precision: Int32, _ value: Double) -> String {
        // The widest text is %f of a large number: 309 digits, a sign and the decimals.
        var buffer = [CChar](repeating: 0, count: 400)
        let length = withVaList([precision, value]) { vsnprintf(&buffer, buffer.count, format, $0) }
        return String(decoding: buffer.prefix(Int(length)).map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}

extension Duration {
    /// The duration in seconds.
    public var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }

    /// The duration as people say it: `4.20 ms`, `12.3 s`, `3 min 05 s`, `2 h 03 min`.
    public var readable: String {
        let seconds = seconds
        if abs(seconds) < 0.9995 { return "\((seconds * 1000).fixed(significantDigits: 3)) ms" }
        if abs(seconds) < 59.95 { return "\(seconds.fixed(significantDigits: 3)) s" }
        let whole = Int(seconds.rounded())
        func padded(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        if whole < 3600 { return "\(whole / 60) min \(padded(whole % 60)) s" }
        return "\(whole / 3600) h \(padded(whole % 3600 / 60)) min"
    }
}
