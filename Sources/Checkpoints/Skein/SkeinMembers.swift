internal import CZstd
import TensorCore

// Shared chunks: small tensors of one type lie one behind the other in what the index lists as a single tensor without a name, and
// are coded as one. Behind the places of its chunks comes the table of its members:
//
//     4  byte count of the table
//     4  byte count of the table as it is stored: the same, or less for one zstd frame that tells its content size
//     .. the table: for each member, in the order of their data:
//          4  rank
//          4  byte count of its name
//          8  for each dimension, slowest first
//          .. its name, UTF-8
//
// A member has no content hash: that of the whole covers it.

/// The tensors that share the chunks of one entry of the index.
struct SkeinMembers {
    let descriptors: [TensorDescriptor]
    /// Where the data of each member begins, and where those of the last end.
    private let borders: [Int]

    /// What a table may decode to by its stored size: more than numbered names and equal shapes do.
    static let expansionLimit = 256

    init(_ descriptors: [TensorDescriptor]) {
        self.descriptors = descriptors
        var borders = [0]
        for descriptor in descriptors { borders.append(borders[borders.count - 1] + descriptor.byteCount) }
        self.borders = borders
    }

    var byteCount: Int { borders[borders.count - 1] }

    /// The whole as a tensor without a name.
    func descriptor(dtype: DType) throws(DescriptorError) -> TensorDescriptor {
        try TensorDescriptor(name: "", dtype: dtype, shape: Shape([byteCount * 8 / dtype.bitWidth]))
    }

    /// Where the data of a member lie.
    func range(_ member: Int) -> Range<Int> { borders[member]..<borders[member + 1] }

    /// The members that have data in a range.
    func members(in range: Range<Int>) -> Range<Int> {
        guard !range.isEmpty else { return 0..<0 }
        // The last that begins at or before the first byte, so that empty ones before it are left out.
        return count(beginningAtMost: range.lowerBound) - 1..<count(beginningAtMost: range.upperBound - 1)
    }

    private func count(beginningAtMost position: Int) -> Int {
        var low = 0
        var high = descriptors.count
        while low < high {
            let middle = (low + high) / 2
            if borders[middle] <= position { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

// MARK: - The table

extension SkeinMembers {
    /// The table with its two sizes.
    func encoded() -> [UInt8] {
        var table = SkeinBytes()
        for descriptor in descriptors {
            table.append(UInt32(descriptor.shape.rank))
            table.append(UInt32(descriptor.name.text.utf8.count))
            for dim in descriptor.shape.dims { table.append(UInt64(dim)) }
            table.append(descriptor.name.text.utf8)
        }
        let stored = Self.compressed(table.content)
        var bytes = SkeinBytes()
        bytes.append(UInt32(table.content.count))
        bytes.append(UInt32(stored.count))
        bytes.append(stored)
        return bytes.content
    }

    /// The shorter of a zstd frame and the bytes themselves, which also stand where no reader would believe the frame.
    private static func compressed(_ table: [UInt8]) -> [UInt8] {
        var frame = [UInt8](repeating: 0, count: ZSTD_compressBound(table.count))
        // Twice as small as by level 1, in the time that a few chunks take.
        let size = ZSTD_compress(&frame, frame.count, table, table.count, 9)
        guard ZSTD_isError(size) == 0, size < table.count, table.count <= size * expansionLimit else { return table }
        return Array(frame[..<size])
    }

    /// Why a table cannot be read.
    struct Fault: Error {
        let reason: String

        init(_ reason: String) { self.reason = reason }
    }

    /// Reads a table and nothing on trust.
    ///
    /// - Parameters:
    ///   - fields: the table with its two sizes.
    ///   - whole: what the members make together.
    ///   - limit: the most bytes that it may decode to.
    static func parse(
        _ fields: inout SkeinFields, whole: TensorDescriptor, limit: Int
    ) throws -> (SkeinMembers, tableByteCount: Int) {
        let byteCount = Int(try fields.take(UInt32.self))
        let storedByteCount = Int(try fields.take(UInt32.self))
        let stored = try fields.take(byteCount: storedByteCount)
        guard byteCount >= storedByteCount, byteCount <= storedByteCount * expansionLimit, byteCount <= limit else {
            throw Fault("the table of its members claims \(byteCount) bytes for \(storedByteCount)")
        }
        let table = try decompressed(stored, byteCount: byteCount)
        let descriptors = try table.withUnsafeBytes { try rows(SkeinFields($0), whole: whole) }
        return (SkeinMembers(descriptors), byteCount)
    }

    private static func decompressed(_ stored: UnsafeRawBufferPointer, byteCount: Int) throws(Fault) -> [UInt8] {
        if stored.count == byteCount { return Array(stored) }
        var table = [UInt8](repeating: 0, count: byteCount)
        let size = ZSTD_decompress(&table, byteCount, stored.baseAddress, stored.count)
        guard ZSTD_isError(size) == 0, size == byteCount else { throw Fault("the table of its members is damaged") }
        return table
    }

    private static func rows(_ fields: SkeinFields, whole: TensorDescriptor) throws -> [TensorDescriptor] {
        var fields = fields
        var missingByteCount = whole.byteCount
        var descriptors: [TensorDescriptor] = []
        while fields.remainingByteCount > 0 {
            let rank = try fields.take(UInt32.self)
            let nameByteCount = try fields.take(UInt32.self)
            var dims: [UInt64] = []
            for _ in 0..<rank { dims.append(try fields.take(UInt64.self)) }
            guard let name = try fields.take(byteCount: nameByteCount).validatedText else {
                throw Fault("the name of a member is not UTF-8")
            }
            let sizes = dims.compactMap { Int(exactly: $0) }
            guard sizes.count == dims.count,
                let descriptor = try? TensorDescriptor(
                    name: TensorName(name), dtype: whole.dtype, shape: Shape(sizes)),
                descriptor.byteCount <= missingByteCount
            else { throw Fault("its member \"\(TensorName(name))\" of shape \(dims) does not fit") }
            missingByteCount -= descriptor.byteCount
            descriptors.append(descriptor)
        }
        guard missingByteCount == 0 else { throw Fault("its members leave \(missingByteCount) bytes") }
        return descriptors
    }
}

// MARK: - Which tensors share

extension SkeinMembers {
    /// Tensors of fewer bytes share: the header of a chunk, its padding and an entry of the index take up to 300.
    private static let smallByteCount = 8 << 10
    /// The neighbours that it takes, so that files with few small tensors stay readable by every version.
    private static let leastNeighbours = 64

    /// Groups tensors that share chunks: those of one type in a run of small neighbours. All others stay by themselves.
    ///
    /// - Returns: the numbers of the tensors in groups, in the order of the file.
    static func groups(of descriptors: [TensorDescriptor]) -> [[Int]] {
        var groups: [[Int]] = []
        var run: [Int] = []
        func endRun() {
            if run.count < leastNeighbours {
                groups += run.map { [$0] }
            } else {
                let types = run.reduce(into: [DType]()) { types, number in
                    if !types.contains(descriptors[number].dtype) { types.append(descriptors[number].dtype) }
                }
                groups += types.map { type in run.filter { descriptors[$0].dtype == type } }
            }
            run = []
        }
        for number in descriptors.indices {
            if descriptors[number].byteCount < smallByteCount {
                run.append(number)
            } else {
                endRun()
                groups.append([number])
            }
        }
        endRun()
        return groups
    }
}
