import CUTF8Proc

/// The normal forms of Unicode.
enum NormalForm: String, CaseIterable {
    case composed = "NFC"
    case decomposed = "NFD"
    case compatiblyComposed = "NFKC"
    case compatiblyDecomposed = "NFKD"

    private var isComposed: Bool { self == .composed || self == .compatiblyComposed }
    private var isCompatible: Bool { self == .compatiblyComposed || self == .compatiblyDecomposed }

    /// A text in the form.
    ///
    /// utf8proc knows how characters decompose and compose. Marks are sorted here: utf8proc swaps neighbours, which takes the square of
    /// the number of marks that a text stacks on one letter.
    func applied(to text: [UInt8]) -> [UInt8] {
        guard !text.isASCII else { return text }
        var result: [UInt8] = []
        result.reserveCapacity(text.count + text.count / 2)
        var run = Run(form: self)
        text.withUnsafeBufferPointer { bytes in
            var position = 0
            while position < bytes.count {
                // An ASCII character is changed by nothing but what follows it.
                if bytes[position] < 0x80 {
                    run.flush(into: &result)
                    var end = position + 1
                    while end < bytes.count, bytes[end] < 0x80 { end += 1 }
                    result.append(contentsOf: bytes[position..<end - 1])
                    run.append(UInt32(bytes[end - 1]))
                    position = end
                    continue
                }
                let (scalar, length) = UTF8Bytes.scalar(bytes, at: position)
                position += length
                if ScalarClass.of(scalar).contains(.unknownToNormalForms) {
                    run.flush(into: &result)
                    UTF8Bytes.append(scalar, to: &result)
                } else {
                    run.append(scalar)
                }
            }
        }
        run.flush(into: &result)
        return result
    }

    /// Characters that may act on each other.
    private struct Run {
        private var scalars: [Int32] = []
        private var classes: [Int16] = []
        private let isComposed: Bool
        private let options: utf8proc_option_t
        /// What one character may become: the longest decomposition has 18 parts.
        private var parts = [Int32](repeating: 0, count: 32)

        init(form: NormalForm) {
            isComposed = form.isComposed
            let kind = form.isCompatible ? UTF8PROC_COMPAT.rawValue : 0
            options = utf8proc_option_t(UTF8PROC_DECOMPOSE.rawValue | kind)
        }

        mutating func append(_ scalar: UInt32) {
            guard scalar >= 0x80 else {
                scalars.append(Int32(scalar))
                classes.append(0)
                return
            }
            let count = parts.withUnsafeMutableBufferPointer {
                utf8proc_decompose_char(Int32(bitPattern: scalar), $0.baseAddress, $0.count, options, nil)
            }
            // What is no character, or longer than anything that Unicode has, stays.
            guard count > 0, count <= parts.count else {
                scalars.append(Int32(bitPattern: scalar))
                classes.append(0)
                return
            }
            for part in parts[..<count] {
                scalars.append(part)
                classes.append(utf8proc_get_property(part).pointee.combining_class)
            }
        }

        /// Adds the characters, sorted and composed, to a text, and begins anew.
        mutating func flush(into text: inout [UInt8]) {
            guard !scalars.isEmpty else { return }
            sortMarks()
            var count = scalars.count
            if isComposed, count > 1 {
                count = scalars.withUnsafeMutableBufferPointer {
                    utf8proc_normalize_utf32(
                        $0.baseAddress, $0.count,
                        utf8proc_option_t(UTF8PROC_COMPOSE.rawValue | UTF8PROC_STABLE.rawValue))
                }
            }
            for scalar in scalars[..<count] { UTF8Bytes.append(UInt32(bitPattern: scalar), to: &text) }
            scalars.removeAll(keepingCapacity: true)
            classes.removeAll(keepingCapacity: true)
        }

        /// Puts the marks behind every letter into the order of their classes; those of one class stay as they are.
        private mutating func sortMarks() {
            var start = 0
            while start < classes.count {
                guard classes[start] != 0 else {
                    start += 1
                    continue
                }
                var end = start + 1
                var isSorted = true
                while end < classes.count, classes[end] != 0 {
                    if classes[end] < classes[end - 1] { isSorted = false }
                    end += 1
                }
                if !isSorted {
                    // `sort` of Swift is stable.
                    let order = (start..<end).sorted { classes[$0] < classes[$1] }
                    let marks = order.map { scalars[$0] }
                    scalars.replaceSubrange(start..<end, with: marks)
                }
                start = end
            }
        }
    }
}
