import Checkpoints
import Glibc
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// Archives beyond 4 GiB and 65,535 members. Large members are holes in a sparse file.
@Suite struct ZipWideTests {
    /// Writes records at their places and extends the file to its end.
    private func sparse(_ pieces: [(Int, [UInt8])], _ path: FilePath) throws {
        let descriptor = try FileDescriptor.open(
            path, .readWrite, options: [.create, .truncate], permissions: .ownerReadWrite)
        try descriptor.closeAfter {
            for (offset, bytes) in pieces { try descriptor.writeAll(toAbsoluteOffset: Int64(offset), bytes) }
        }
    }

    private func wideArchive(_ path: FilePath) throws -> (small: Int, directory: Int) {
        let header = NpyHeaderTests.file(NpyHeaderTests.header(descr: "'|u1'", shape: "(5368709120,)"))
        let big = ZipRecord.Member(
            name: Array("big.npy".utf8), crc32: 1, compressedByteCount: header.count + 5 << 30,
            byteCount: header.count + 5 << 30, localHeaderOffset: 0, padding: 0)
        let bigLocal = ZipRecord.localHeader(big)
        let smallArray = NpyHeaderTests.file(NpyHeaderTests.header(descr: "'|u1'"), data: 3)
        let small = ZipRecord.Member(
            name: Array("small.npy".utf8), crc32: ZipCRC32Tests.reference(smallArray),
            compressedByteCount: smallArray.count,
            byteCount: smallArray.count, localHeaderOffset: bigLocal.count + big.byteCount, padding: 0)
        let smallLocal = ZipRecord.localHeader(small)
        let directory = small.localHeaderOffset + smallLocal.count + small.byteCount
        let headers = ZipRecord.directoryHeader(big) + ZipRecord.directoryHeader(small)
        let end = ZipRecord.end(entryCount: 2, directory: directory..<directory + headers.count)
        try sparse(
            [
                (0, bigLocal + header), (small.localHeaderOffset, smallLocal + smallArray), (directory, headers + end),
            ], path)
        return (small.localHeaderOffset, directory)
    }

    @Test func readsSizesAndOffsetsBeyondFourGibibytes() throws {
        let folder = TemporaryFolder()
        let path = folder.file("wide.npz")
        let places = try wideArchive(path)
        let file = try MappedFile(path)
        let directory = try CentralDirectory(of: file.bytes, path: path)
        #expect(directory.entries.map(\.name) == ["big.npy", "small.npy"])
        #expect(directory.entries[0].byteCount > 5 << 30)
        #expect(directory.entries[1].localHeaderOffset == places.small)
        #expect(places.small > 5 << 30)

        let reader = try NpzReader(opening: path, options: ReadOptions())
        #expect(reader.descriptors.map(\.byteCount) == [5 << 30, 3])
        #expect(reader.isMapped(0))
        #expect(reader.location(of: 0).range.upperBound == places.small)
        #expect(try reader.bytes(of: 1).withUnsafeBytes(Array.init) == [7, 7, 7])
    }

    /// Fields of the two zip64 end records and of a wide directory header, each broken.
    @Test(arguments: [
        // Counted from the end of the file: end record 22, locator 20, zip64 end record 56.
        (22 + 20 - 8, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], "zip_structure"),
        (22 + 20 - 8, [0, 0, 0, 0, 0, 0, 0, 0x80], "zip_structure"), (22 + 20 - 4, [1], "zip_structure"),
        (22 + 20 + 56, [0], "zip_structure"), (22 + 20 + 56 - 4, [45], "zip_structure"),
        (22 + 20 + 56 - 16, [1], "zip_structure"), (22 + 20 + 56 - 20, [1], "zip_structure"),
        (22 + 20 + 56 - 24, [3, 0, 0, 0, 0, 0, 0, 0, 3], "zip_structure"),
        (22 + 20 + 56 - 40, [0, 0, 0, 0, 0, 0, 0, 0x80], "zip_structure"),
        (22 + 20 + 56 - 48, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], "overflow"),
        (22 + 20 + 56 - 48, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F], "zip_structure"),
    ])
    func refusesBrokenWideRecords(_ fromEnd: Int, _ bytes: [UInt8], _ category: String) throws {
        let folder = TemporaryFolder()
        let path = folder.file("wide.npz")
        _ = try wideArchive(path)
        let count = try MappedFile(path).byteCount
        let descriptor = try FileDescriptor.open(path, .readWrite)
        try descriptor.closeAfter { _ = try descriptor.writeAll(toAbsoluteOffset: Int64(count - fromEnd), bytes) }
        #expect(npyRefusal { _ = try NpzReader(opening: path, options: ReadOptions()) } == category)
    }

    /// The zip64 field of the first directory header: id 2, size 2, uncompressed 8, compressed 8.
    @Test(arguments: [
        (2, [8], "zip_structure"), (2, [0xFF, 0xFF], "zip_structure"), (11, [0x80], "overflow"),
        (19, [0x80], "overflow"),
        (19, [0x7F], "zip_structure"), (0, [2], "header_mismatch"),
    ])
    func refusesBrokenWideFields(_ place: Int, _ bytes: [UInt8], _ category: String) throws {
        let folder = TemporaryFolder()
        let path = folder.file("wide.npz")
        let places = try wideArchive(path)
        let descriptor = try FileDescriptor.open(path, .readWrite)
        let offset = places.directory + 46 + "big.npy".utf8.count + place
        try descriptor.closeAfter { _ = try descriptor.writeAll(toAbsoluteOffset: Int64(offset), bytes) }
        #expect(npyRefusal { _ = try NpzReader(opening: path, options: ReadOptions()) } == category)
    }

    @Test func narrowArchivesHaveNoWideRecords() {
        #expect(ZipRecord.end(entryCount: 65534, directory: 0..<10).count == 22)
        #expect(ZipRecord.end(entryCount: 65535, directory: 0..<10).count == 56 + 20 + 22)
        #expect(ZipRecord.end(entryCount: 1, directory: 0xFFFF_FFFE..<0xFFFF_FFFF).count == 22)
        #expect(ZipRecord.end(entryCount: 1, directory: 0xFFFF_FFFF..<0x1_0000_0000).count == 56 + 20 + 22)
        func member(_ byteCount: Int, at offset: Int) -> ZipRecord.Member {
            ZipRecord.Member(
                name: [97], crc32: 0, compressedByteCount: byteCount, byteCount: byteCount, localHeaderOffset: offset,
                padding: 0)
        }
        #expect(ZipRecord.directoryHeader(member(0xFFFF_FFFE, at: 0xFFFF_FFFE)).count == 47)
        #expect(ZipRecord.directoryHeader(member(0xFFFF_FFFF, at: 0)).count == 47 + 4 + 16)
        #expect(ZipRecord.directoryHeader(member(0, at: 0xFFFF_FFFF)).count == 47 + 4 + 8)
        #expect(ZipRecord.localHeader(member(0xFFFF_FFFF, at: 0)).count == 31 + 20)
        #expect(ZipRecord.localHeader(member(0, at: 0xFFFF_FFFF)).count == 31)
    }

    @Test func writesAndReadsMoreThan65535Members() throws {
        let folder = TemporaryFolder()
        let path = folder.file("many.npz")
        let descriptors = try (0..<66_000).map {
            try TensorDescriptor(name: TensorName("t\($0)"), dtype: .u8, shape: [])
        }
        let writer = try NpzWriter(
            creating: path, declaring: descriptors, metadata: Metadata(), options: WriteOptions(sync: false))
        for index in descriptors.indices {
            try withUnsafeBytes(of: UInt8(truncatingIfNeeded: index)) { try writer.write($0, tensor: index, at: 0) }
        }
        _ = try writer.finish()
        let reader = try NpzReader(opening: path, options: ReadOptions())
        #expect(reader.descriptors == descriptors)
        #expect(try reader.bytes(of: 65_999).withUnsafeBytes { $0[0] } == UInt8(truncatingIfNeeded: 65_999))
        #expect(try reader.verify().damage.isEmpty)
    }
}
