/// Decimal numbers as `serde_json` reads them: in two roundings, so that the last bit may differ from the nearest double.
enum SerdeNumber {
    /// The number that a text of JSON's grammar says.
    static func double(_ text: String) -> Double? {
        var digits = text.utf8[...]
        let isNegative = digits.first == UInt8(ascii: "-")
        if isNegative { digits = digits.dropFirst() }
        var significand: UInt64 = 0
        var exponent = 0
        var isFraction = false
        var isFull = false
        while let byte = digits.first, byte != UInt8(ascii: "e"), byte != UInt8(ascii: "E") {
            digits = digits.dropFirst()
            guard byte != UInt8(ascii: ".") else {
                isFraction = true
                continue
            }
            let (tens, tooLarge) = significand.multipliedReportingOverflow(by: 10)
            let (sum, overflow) = tens.addingReportingOverflow(UInt64(byte &- UInt8(ascii: "0")))
            if isFull || tooLarge || overflow {
                // The rest is dropped.
                isFull = true
                if !isFraction { exponent += 1 }
            } else {
                significand = sum
                if isFraction { exponent -= 1 }
            }
        }
        if !digits.isEmpty {
            var scale = digits.dropFirst()
            if scale.first == UInt8(ascii: "+") { scale = scale.dropFirst() }
            guard let value = Int(String(decoding: Array(scale), as: UTF8.self)), abs(value) < 100_000 else {
                return nil
            }
            exponent += value
        }
        var value = Double(significand)
        while exponent < -308, value != 0 {
            value /= 1e308
            exponent += 308
        }
        guard value != 0 else { return isNegative ? -0.0 : 0 }
        guard exponent <= 308 else { return nil }
        if exponent >= 0 { value *= powers[exponent] } else { value /= powers[-exponent] }
        return isNegative ? -value : value
    }

    /// The powers of ten from 0 to 308, each rounded once.
    private static let powers: [Double] = (0...308).compactMap { Double("1e\($0)") }
}
