import SystemPackage
import TensorCore

/// What holds a file together: both seals and both copies of the index, of which one each is enough.
struct SkeinFrame {
    let extent: SkeinExtent
    let index: SkeinIndex
    /// What is wrong with the seals, the indices and the zeros between.
    private(set) var damage: [Damage] = []

    /// Reads the frame of a file.
    ///
    /// - Parameters:
    ///   - salvaging: accept a file that is cut short or has bytes behind its end, and count that as damage.
    ///   - expansionAllowance: see `ReadOptions`.
    /// - Throws: `FormatError`: `bad_magic`, `unsupported_version`, `truncated`, `trailing_bytes`, `bad_checksum` when both
    ///   copies of a part are damaged, and the faults of an index.
    init(_ file: SkeinFile, salvaging: Bool, expansionAllowance: Int) throws {
        var found = Findings(file: file)
        extent = try found.extent(salvaging: salvaging)
        let (bytes, checksum) = try found.indexBytes(extent)
        let extent = extent
        let features = found.features
        index = try bytes.withUnsafeBytes {
            try SkeinIndexParser.parse(
                $0, features: features, extent: extent, expansionAllowance: expansionAllowance, file: file.path)
        }
        found.checkSeals(
            SkeinSeal(
                features: features, indexByteCount: UInt64(extent.firstIndex.count),
                secondIndexOffset: UInt64(extent.secondIndex.lowerBound),
                fileByteCount: UInt64(extent.fileByteCount), indexChecksum: checksum))
        damage = found.damage
    }

    /// Collects damage while the parts are read.
    private struct Findings {
        let file: SkeinFile
        var damage: [Damage] = []
        private var seals: [SkeinSeal.Position: SkeinSeal] = [:]

        init(file: SkeinFile) { self.file = file }

        /// What the file needs, once a seal was read.
        var features: SkeinFeatures { (seals[.header] ?? seals[.footer])?.features ?? [] }

        private mutating func note(_ range: Range<Int>, _ reason: String) {
            damage.append(
                Damage(
                    tensor: nil, file: file.path, offset: range.lowerBound, byteCount: range.count, reason: reason))
        }

        /// Finds the extent by the header, or by the footer if the header is damaged.
        mutating func extent(salvaging: Bool) throws -> SkeinExtent {
            let path = file.path
            let start = try? file.read(0..<min(file.byteCount, SkeinSeal.byteCount))
            let begins = start?.starts(with: SkeinSeal.magic) ?? false
            guard file.byteCount >= 2 * SkeinSeal.byteCount else {
                throw FormatError(
                    begins ? .truncated : .badMagic, "\(path.string) has only \(file.byteCount) bytes", file: path,
                    byteOffset: 0)
            }
            try readSeal(.header, fileByteCount: file.byteCount)
            try readSeal(.footer, fileByteCount: file.byteCount)
            guard let seal = seals[.header] ?? seals[.footer] else {
                guard begins else {
                    throw FormatError(.badMagic, "\(path.string) is not a .skein file", file: path, byteOffset: 0)
                }
                throw FormatError(
                    .badChecksum, "both the header and the footer of \(path.string) are damaged", file: path,
                    byteOffset: 0)
            }
            guard let extent = SkeinExtent(seal) else {
                throw FormatError(
                    .badIndex, "the header of \(path.string) contradicts itself", file: path, byteOffset: 24)
            }
            guard extent.fileByteCount != file.byteCount else { return extent }
            let isCut = extent.fileByteCount > file.byteCount
            let message = "the file has \(file.byteCount) bytes but its header says \(extent.fileByteCount)"
            guard salvaging else {
                throw FormatError(
                    isCut ? .truncated : .trailingBytes, message, file: path,
                    byteOffset: min(file.byteCount, extent.fileByteCount),
                    hint: isCut ? "the file is cut short; `convert --salvage` keeps what is there" : nil)
            }
            if !isCut {
                note(extent.fileByteCount..<file.byteCount, message)
                // It does not end the file, and is where the header says.
                try readSeal(.footer, fileByteCount: extent.fileByteCount)
            }
            return extent
        }

        private mutating func readSeal(_ position: SkeinSeal.Position, fileByteCount: Int) throws(FormatError) {
            let range = range(of: position, fileByteCount: fileByteCount)
            guard let bytes = try? file.read(range) else { return }
            switch bytes.withUnsafeBytes({ SkeinSeal.read($0, as: position) }) {
            case .seal(let seal): seals[position] = seal
            case .unsupported(let reason):
                throw FormatError(
                    .unsupportedVersion, "\(file.path.string) cannot be read: \(reason)", file: file.path,
                    byteOffset: range.lowerBound, hint: "a newer version of the program wrote it")
            case .damaged: break
            }
        }

        private func range(of position: SkeinSeal.Position, fileByteCount: Int) -> Range<Int> {
            position == .header
                ? 0..<SkeinSeal.byteCount : fileByteCount - SkeinSeal.byteCount..<fileByteCount
        }

        /// Compares both seals with what the file turned out to be.
        mutating func checkSeals(_ expected: SkeinSeal) {
            for position in [SkeinSeal.Position.header, .footer] where seals[position] != expected {
                note(
                    range(of: position, fileByteCount: Int(expected.fileByteCount)),
                    "the \(position.rawValue) is damaged or missing")
            }
        }

        /// The bytes of the first healthy index with their checksum.
        mutating func indexBytes(_ extent: SkeinExtent) throws -> (bytes: [UInt8], checksum: UInt64) {
            let expected = (seals[.header] ?? seals[.footer])?.indexChecksum
            var healthy: [UInt8]?
            for (name, range, end) in [
                ("first", extent.firstIndex, extent.chunks.lowerBound),
                ("second", extent.secondIndex, extent.fileByteCount - SkeinSeal.byteCount),
            ] {
                do throws(SkeinFile.Fault) {
                    let bytes = try file.read(range.lowerBound..<end)
                    let index = Array(bytes[..<range.count])
                    guard SkeinHash.checksum(index) == expected else {
                        throw SkeinFile.Fault(reason: "its checksum is wrong")
                    }
                    healthy = healthy ?? index
                    guard bytes[range.count...].allSatisfy({ $0 == 0 }) else {
                        throw SkeinFile.Fault(reason: "the padding behind it is not zero")
                    }
                } catch { note(range.lowerBound..<end, "the \(name) index is damaged: \(error.reason)") }
            }
            guard let healthy, let expected else {
                throw FormatError(
                    .badChecksum, "both copies of the index of \(file.path.string) are damaged", file: file.path,
                    byteOffset: extent.firstIndex.lowerBound)
            }
            return (healthy, expected)
        }
    }
}
