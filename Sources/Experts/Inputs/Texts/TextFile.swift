import Checkpoints
import SystemPackage
import TensorCore

/// Texts in a file, one a line, and their classes where it has them.
///
/// - `.txt`: a text a line.
/// - `.tsv`: a class, a tab and a text; or columns of any order under a heading that names them.
/// - `.jsonl`: an object a line with a named field, and `label`.
///
/// Lines are UTF-8 and end with a line feed, with or without a carriage return; empty ones are left out.
package struct TextFile: Sendable {
    /// One text.
    package struct Line: Sendable {
        package let text: String
        /// Nil where the file has no classes.
        package let label: String?
        /// From 1.
        package let number: Int
    }

    package enum Format: Sendable { case plain, table, json }

    package let path: FilePath
    package let lines: [Line]
    /// Lines that were left out because they cannot be read, with the reason.
    package let skipped: [(name: String, reason: String)]

    /// The class of each text; nil without classes.
    package var classes: [String]? {
        lines.first?.label == nil ? nil : lines.map { $0.label ?? "" }
    }

    /// Reads all lines.
    ///
    /// - Parameters:
    ///   - limit: the texts that are needed; nil for all.
    ///   - memory: what the texts may take; nil sets no bound.
    /// - Throws: `input.bad_text` with line and byte offset for the first line that cannot be read, unless such lines are to be
    ///   skipped; `input.missing_data` when no text is left; `IOError`, also `io.memory`.
    package init(
        _ path: FilePath, format: Format, options: DataOptions, limit: Int? = nil, memory: Int? = nil
    ) throws {
        self.path = path
        let file = try MappedFile(path)
        var lines: [Line] = []
        var skipped: [(name: String, reason: String)] = []
        try file.withUnsafeBytes { bytes in
            var reader = LineReader(path: path, format: format, field: options.textField)
            let start = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
            var byteCount = 0
            for (place, range) in LineRanges(of: bytes, from: start).enumerated() {
                guard lines.count < limit ?? .max else { break }
                let (line, number) = (UnsafeRawBufferPointer(rebasing: bytes[range]), place + 1)
                do throws(InputError) {
                    if let text = try reader.read(line, number: number, byteOffset: range.lowerBound) {
                        lines.append(text)
                        byteCount += range.count + MemoryLayout<Line>.stride
                    }
                } catch {
                    guard options.skipsBad else { throw error }
                    skipped.append(("line \(number) of \(path.string)", error.message))
                }
                guard byteCount <= memory ?? .max else {
                    throw IOError(
                        kind: .memory,
                        message: "the first \(number) lines of \(path.string) alone take more memory than is allowed",
                        file: path.string, hint: "take fewer of them, as with `head`, or raise --memory")
                }
            }
        }
        guard !lines.isEmpty else {
            throw InputError(
                .missingData, "there is no text in \(path.string)", file: path,
                hint: skipped.first.map { "the first line that was skipped: \($0.reason)" })
        }
        if let labelled = lines.first(where: { $0.label != nil }), let without = lines.first(where: { $0.label == nil })
        {
            throw InputError(
                .badText,
                "line \(labelled.number) of \(path.string) has a class, and line \(without.number) has none",
                file: path,
                position: TextPosition(line: without.number, column: 1))
        }
        self.lines = lines
        self.skipped = skipped
    }
}
