import Checkpoints
import Dispatch
import SystemPackage
import TensorCore
import TestSupport
import Testing

@Suite struct NpzWriterTests {
    static func bytes(_ count: Int, seed: UInt64) -> [UInt8] {
        var generator = NpyTestGenerator(seed: seed)
        return (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
    }

    static func write(_ tensors: [(TensorDescriptor, [UInt8])], to path: FilePath) throws -> WrittenCheckpoint {
        let writer = try NpzWriter(
            creating: path, declaring: tensors.map(\.0), metadata: Metadata(),
            options: WriteOptions(force: true, sync: false))
        for (index, tensor) in tensors.enumerated() {
            try tensor.1.withUnsafeBytes { try writer.write($0, tensor: index, at: 0) }
        }
        return try writer.finish()
    }

    static let types: [DType] = [
        .bool, .u8, .i8, .u16, .i16, .u32, .i32, .u64, .i64, .f16, .f32, .f64, .c64, .c128,
    ]

    @Test(arguments: types) func givesBackWhatWasWritten(_ dtype: DType) throws {
        let shapes: [Shape] = [[], [1], [3, 5], [0], [4, 0, 2], [2, 3, 4], [1000]]
        let tensors = try shapes.enumerated().map { index, shape in
            let descriptor = try TensorDescriptor(name: TensorName("layer.\(index)"), dtype: dtype, shape: shape)
            return (descriptor, Self.bytes(descriptor.byteCount, seed: UInt64(index)))
        }
        let folder = TemporaryFolder()
        let path = folder.file("a.npz")
        let written = try Self.write(tensors, to: path)
        let reader = try NpzReader(opening: path, options: ReadOptions())
        #expect(reader.descriptors == tensors.map(\.0))
        for index in tensors.indices {
            #expect(try reader.bytes(of: index).withUnsafeBytes(Array.init) == tensors[index].1)
            #expect(reader.isMapped(index))
            #expect(reader.location(of: index).range.lowerBound % 64 == 0)
        }
        #expect(try reader.verify().damage.isEmpty)
        #expect(reader.warnings.isEmpty)
        #expect(written == WrittenCheckpoint(files: [path], byteCount: try MappedFile(path).byteCount))
    }

    @Test func keepsNamesThatDifferInBytesOnly() throws {
        let names = [
            "\u{E9}", "e\u{301}", "重み", "a b", "a/b", "line\nbreak", "a.npy", "a", "😀",
            String(repeating: "n", count: 65_531),
            "x", "xx", "xxx", "xxxx", "..x", "...", "\u{600}",
        ]
        let tensors = try names.map {
            (try TensorDescriptor(name: TensorName($0), dtype: .u8, shape: [2]), [1, 2] as [UInt8])
        }
        let folder = TemporaryFolder()
        let path = folder.file("a.npz")
        _ = try Self.write(tensors, to: path)
        let reader = try NpzReader(opening: path, options: ReadOptions())
        #expect(reader.descriptors.map(\.name) == names.map { TensorName($0) })
        #expect(reader.descriptors.indices.allSatisfy { reader.location(of: $0).range.lowerBound % 64 == 0 })
    }

    @Test(arguments: [
        ("", "bad_name"), ("a\0b", "bad_name"), (String(repeating: "n", count: 65_532), "bad_name"),
        ("/etc/a", "path_traversal"), ("//a/b", "path_traversal"),
        ("..", "path_traversal"), ("../a", "path_traversal"), ("a/../b", "path_traversal"), ("a/./b", "path_traversal"),
        ("a\\b", "path_traversal"), ("C:a", "path_traversal"),
    ])
    func refusesNamesThatArchivesCannotHold(_ name: String, _ category: String) throws {
        let folder = TemporaryFolder()
        let descriptor = try TensorDescriptor(name: TensorName(name), dtype: .u8, shape: [0])
        #expect(npyRefusal { _ = try Self.write([(descriptor, [])], to: folder.file("a.npz")) } == category)
    }

    @Test(arguments: DType.allCases.filter { !types.contains($0) })
    func refusesTypesThatNumPyLacksAndOffersToUpcast(_ dtype: DType) throws {
        let folder = TemporaryFolder()
        let descriptor = try TensorDescriptor(name: "w", dtype: dtype, shape: [8])
        let error = try #require(throws: FormatError.self) {
            try NpzWriter(
                creating: folder.file("a.npz"), declaring: [descriptor], metadata: Metadata(), options: WriteOptions())
        }
        #expect(error.category == .unsupportedDtype)
        #expect(error.hint?.contains("--upcast") == true)
        #expect(error.tensor == "w")
        #expect(
            npyRefusal {
                _ = try NpyWriter(creating: folder.file("a.npy"), declaring: [descriptor], options: WriteOptions())
            } == "unsupported_dtype")
    }

    @Test func refusesWhatNoArchiveCanHold() throws {
        let folder = TemporaryFolder()
        let twice = try TensorDescriptor(name: "a", dtype: .u8, shape: [])
        let deep = try TensorDescriptor(name: "a", dtype: .u8, shape: Shape([Int](repeating: 1, count: 65)))
        let huge = try TensorDescriptor(name: "a", dtype: .u8, shape: [Int.max / 8])
        let other = try TensorDescriptor(name: "b", dtype: .u8, shape: [Int.max / 8])
        func refusal(_ descriptors: [TensorDescriptor]) -> String? {
            npyRefusal {
                _ = try NpzWriter(
                    creating: folder.file("a.npz"), declaring: descriptors, metadata: Metadata(),
                    options: WriteOptions())
            }
        }
        #expect(refusal([twice, twice]) == "duplicate_member")
        #expect(refusal([deep]) == "bad_shape")
        let many = (0..<9).map { huge.renamed(TensorName("h\($0)")) } + [other]
        #expect(refusal(many) == "overflow")
        #expect(!folder.path.listing().contains("a.npz"))
    }

    @Test func aBareArrayIsExactlyOne() throws {
        let folder = TemporaryFolder()
        let one = try TensorDescriptor(name: "a", dtype: .u8, shape: [])
        for descriptors in [[], [one, one.renamed("b")]] {
            #expect(
                npyRefusal {
                    _ = try NpyWriter(creating: folder.file("a.npy"), declaring: descriptors, options: WriteOptions())
                } == "tensor_count")
        }
    }

    /// Pieces of odd sizes, shuffled and from several threads, give the bytes of one write in order.
    @Test(arguments: [1, 2, 5]) func bytesDoNotDependOnTheOrderOfWrites(_ threads: Int) throws {
        let folder = TemporaryFolder()
        let sizes = [100_003, 1, 0, 70_001]
        let tensors = try sizes.enumerated().map { index, size in
            (
                try TensorDescriptor(name: TensorName("t\(index)"), dtype: .u8, shape: [size]),
                Self.bytes(size, seed: UInt64(index))
            )
        }
        _ = try Self.write(tensors, to: folder.file("ordered.npz"))
        var generator = NpyTestGenerator(seed: 31)
        var pieces: [(Int, Range<Int>)] = []
        for (index, size) in sizes.enumerated() {
            var position = 0
            while position < size {
                let end = min(size, position + Int.random(in: 1...5000, using: &generator))
                pieces.append((index, position..<end))
                position = end
            }
        }
        pieces.shuffle(using: &generator)
        let writer = try NpzWriter(
            creating: folder.file("shuffled.npz"), declaring: tensors.map(\.0), metadata: Metadata(),
            options: WriteOptions(sync: false))
        let work = pieces
        DispatchQueue.concurrentPerform(iterations: threads) { @Sendable worker in
            for position in stride(from: worker, to: work.count, by: threads) {
                let (tensor, range) = work[position]
                tensors[tensor].1.withUnsafeBytes {
                    do {
                        try writer.write(
                            UnsafeRawBufferPointer(rebasing: $0[range]), tensor: tensor, at: range.lowerBound)
                    } catch { Issue.record(error) }
                }
            }
        }
        _ = try writer.finish()
        #expect(try npyFileBytes(folder.file("shuffled.npz")) == (try npyFileBytes(folder.file("ordered.npz"))))
    }

    @Test func whatIsNotCompleteDoesNotAppear() throws {
        let folder = TemporaryFolder()
        let descriptor = try TensorDescriptor(name: "a", dtype: .u8, shape: [10])
        let data = Self.bytes(10, seed: 1)
        func part(_ range: Range<Int>, _ writer: some CheckpointWriter, at offset: Int? = nil) throws {
            try data.withUnsafeBytes {
                try writer.write(UnsafeRawBufferPointer(rebasing: $0[range]), tensor: 0, at: offset ?? range.lowerBound)
            }
        }
        func check(_ writer: some CheckpointWriter) throws {
            try part(0..<4, writer)
            #expect(throws: IOError.self) { try part(0..<4, writer, at: 7) }
            #expect(throws: IOError.self) { try part(0..<4, writer, at: -1) }
            #expect(throws: IOError.self) { try part(0..<4, writer, at: Int.max) }
            try part(5..<10, writer)
            #expect(throws: IOError.self) { try writer.finish() }
        }
        try check(
            try NpzWriter(
                creating: folder.file("a.npz"), declaring: [descriptor], metadata: Metadata(), options: WriteOptions()))
        try check(try NpyWriter(creating: folder.file("a.npy"), declaring: [descriptor], options: WriteOptions()))
        #expect(!folder.path.listing().contains { $0.hasSuffix(".npz") })
        #expect(!folder.path.listing().contains { $0.hasSuffix(".npy") })
    }

    @Test func bytesWrittenTwiceAreNoticed() throws {
        let folder = TemporaryFolder()
        let descriptor = try TensorDescriptor(name: "a", dtype: .u8, shape: [10])
        let data = Self.bytes(10, seed: 1)
        for (first, second) in [(0..<5, 4..<10), (4..<10, 0..<5), (0..<10, 3..<4), (3..<4, 0..<10)] {
            let writer = try NpzWriter(
                creating: folder.file("a.npz"), declaring: [descriptor], metadata: Metadata(),
                options: WriteOptions(sync: false))
            try data.withUnsafeBytes {
                try writer.write(UnsafeRawBufferPointer(rebasing: $0[first]), tensor: 0, at: first.lowerBound)
            }
            #expect(throws: IOError.self) {
                try data.withUnsafeBytes {
                    try writer.write(UnsafeRawBufferPointer(rebasing: $0[second]), tensor: 0, at: second.lowerBound)
                }
            }
        }
    }

    @Test func anArchiveWithoutTensorsIsEmpty() throws {
        let folder = TemporaryFolder()
        _ = try Self.write([], to: folder.file("a.npz"))
        #expect(try npyFileBytes(folder.file("a.npz")) == (try npyFileBytes(Fixtures.path("npz/no_members.npz"))))
    }
}
