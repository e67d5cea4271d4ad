extension String {
    /// The text as one word of bash, on one line: it must not end a comment that it stands in.
    package var quotedForShell: String {
        if !isEmpty, utf8.allSatisfy(Self.plain.contains) { return self }
        // Among them every line break that YAML knows.
        func isEscaped(_ scalar: Unicode.Scalar) -> Bool {
            scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) || (0x2028...0x2029).contains(scalar.value)
        }
        guard unicodeScalars.contains(where: isEscaped) else { return "'" + replacing("'", with: #"'\''"#) + "'" }
        var quoted = ""
        for scalar in unicodeScalars {
            if isEscaped(scalar) {
                for byte in String(scalar).utf8 { quoted += #"\x"# + (byte < 16 ? "0" : "") + String(byte, radix: 16) }
            } else if scalar == "'" || scalar == "\\" {
                quoted += "\\\(scalar)"
            } else {
                quoted.unicodeScalars.append(scalar)
            }
        }
        return "$'" + quoted + "'"
    }

    private static let plain = Set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./=,:+@%".utf8)
}
