import Checkpoints

extension Metadata.Entry {
    /// Reads `KEY=VALUE`.
    ///
    /// - Throws: a usage error when there is no key.
    init(argument text: String) throws(UsageError) {
        guard let equals = text.utf8.firstIndex(of: UInt8(ascii: "=")), equals != text.startIndex else {
            throw UsageError("--metadata \(text) is not KEY=VALUE")
        }
        self.init(key: String(text[..<equals]), value: String(text[text.utf8.index(after: equals)...]))
    }
}
