/// The names of zip members: how their bytes become text, and which of them no reader should take.
enum ZipEntryName {
    /// Decodes the bytes of a name.
    ///
    /// - Parameter isUTF8: bit 11 of the flags; without it the bytes are code page 437, of which ASCII is a part.
    /// - Returns: nil when the bytes are not valid UTF-8.
    static func decode(_ bytes: UnsafeRawBufferPointer, isUTF8: Bool) -> String? {
        if isUTF8 || bytes.allSatisfy({ $0 < 0x80 }) { return String(validating: bytes, as: UTF8.self) }
        var text = ""
        for byte in bytes {
            text.unicodeScalars.append(byte < 0x80 ? Unicode.Scalar(byte) : codePage437[Int(byte) - 0x80])
        }
        return text
    }

    /// Why a name is refused, or nil: names that some unpacker would take for a place outside its folder.
    static func fault(in name: String) -> (category: FormatCategory, reason: String)? {
        let bytes = Array(name.utf8)
        if bytes.isEmpty { return (.badName, "is empty") }
        if bytes.contains(0) { return (.badName, "contains a NUL byte") }
        if bytes.contains(UInt8(ascii: "\\")) { return (.pathTraversal, "contains a backslash") }
        if isSystemPath(bytes) { return (.pathTraversal, "is an absolute path into the system") }
        if bytes.count >= 2, bytes[1] == UInt8(ascii: ":"), Unicode.Scalar(bytes[0]).properties.isAlphabetic {
            return (.pathTraversal, "begins with a drive letter")
        }
        let dot = UInt8(ascii: ".")
        for component in bytes.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: true)
        where component.elementsEqual([dot]) || component.elementsEqual([dot, dot]) {
            return (.pathTraversal, "has a \"\(component.count == 1 ? "." : "..")\" component")
        }
        return nil
    }

    /// Whether a name is a place in a folder that systems have at their root. Any other name may begin with a slash: NumPy
    /// takes `/w` for a name as it is, and no name becomes a path here.
    private static func isSystemPath(_ bytes: [UInt8]) -> Bool {
        guard bytes.first == UInt8(ascii: "/") else { return false }
        let parts = bytes.dropFirst().split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard parts.count > 1, let first = parts.first else { return false }
        // Nothing between two slashes: the share of another machine.
        return first.isEmpty || systemFolders.contains(String(decoding: first, as: UTF8.self).lowercased())
    }

    private static let systemFolders: Set<String> = [
        "applications", "bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "library", "media", "mnt", "opt",
        "private", "proc", "root", "run", "sbin", "srv", "sys", "system", "tmp", "users", "usr", "var", "volumes",
    ]

    /// The upper half of code page 437.
    private static let codePage437 = Array(
        ("ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐"
            + "└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{A0}").unicodeScalars)
}
