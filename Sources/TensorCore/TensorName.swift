import Glibc

/// The name of a tensor: a label, compared by its UTF-8 bytes.
///
/// Swift's `String` takes canonically equivalent texts for equal (`é` as one scalar or as two); every checkpoint format
/// takes them for two names. Names never become paths.
public struct TensorName: Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
    public let text: String

    public init(_ text: String) { self.text = text }
    public init(stringLiteral value: String) { text = value }

    /// The name with control characters escaped, safe to print on a terminal.
    public var description: String { text.escapingControlCharacters }
}

extension TensorName: Hashable, Comparable {
    public static func == (a: TensorName, b: TensorName) -> Bool {
        a.withBytes { first in
            b.withBytes { second in
                first.count == second.count
                    && (first.isEmpty || memcmp(first.baseAddress!, second.baseAddress!, first.count) == 0)
            }
        }
    }

    /// Orders by bytes, as the writers of the formats do.
    public static func < (a: TensorName, b: TensorName) -> Bool {
        a.withBytes { first in
            b.withBytes { second in
                let common = min(first.count, second.count)
                let order = common == 0 ? 0 : memcmp(first.baseAddress!, second.baseAddress!, common)
                return order == 0 ? first.count < second.count : order < 0
            }
        }
    }

    public func hash(into hasher: inout Hasher) {
        withBytes { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
        hasher.combine(0xFF as UInt8)
    }

    private func withBytes<R>(_ body: (UnsafeBufferPointer<UInt8>) -> R) -> R {
        // Native strings are contiguous; only bridged ones, which Linux has none of, take the second way.
        text.utf8.withContiguousStorageIfAvailable(body) ?? Array(text.utf8).withUnsafeBufferPointer(body)
    }
}

extension String {
    /// The text with the characters that drive a terminal or turn the direction of writing (C0, C1, delete, Unicode's Bidi_Control)
    /// written as `\u{XX}`, so that what is shown is what there is.
    public var escapingControlCharacters: String {
        // Nearly all texts are such, and scalars cost several times as much to look at.
        if utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) { return self }
        func isControl(_ scalar: Unicode.Scalar) -> Bool {
            scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) || scalar.properties.isBidiControl
        }
        guard unicodeScalars.contains(where: isControl) else { return self }
        var result = ""
        for scalar in unicodeScalars {
            if isControl(scalar) {
                result += "\\u{\(String(scalar.value, radix: 16, uppercase: true))}"
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
