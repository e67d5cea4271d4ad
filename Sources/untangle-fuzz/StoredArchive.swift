import Checkpoints

/// A zip archive of members that are stored as they are, with checksums that are right.
struct StoredArchive {
    private var bytes: [UInt8] = []
    private var directory: [UInt8] = []
    private var count = 0

    init(_ members: [(name: String, data: [UInt8])]) {
        for member in members { append(member.name, member.data) }
    }

    /// The whole file.
    var file: [UInt8] {
        let end =
            little(0x0605_4B50, 4) + little(0, 4) + little(count, 2) + little(count, 2) + little(directory.count, 4)
            + little(bytes.count, 4) + little(0, 2)
        return bytes + directory + end
    }

    private mutating func append(_ name: String, _ data: [UInt8]) {
        // Version, flags, method, time, date, checksum, sizes.
        let facts =
            little(20, 2) + little(0, 8) + little(Int(data.withUnsafeBytes(CRC32.of)), 4)
            + little(data.count, 4) + little(data.count, 4) + little(name.utf8.count, 2)
        directory += little(0x0201_4B50, 4) + little(20, 2) + facts + little(0, 12) + little(bytes.count, 4) + name.utf8
        bytes += little(0x0403_4B50, 4) + facts + little(0, 2) + name.utf8 + data
        count += 1
    }

    private func little(_ value: Int, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
}
