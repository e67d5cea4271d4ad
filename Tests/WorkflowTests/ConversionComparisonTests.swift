import Checkpoints
import TensorCore
import Testing
import TestSupport
import Transcoding

@Suite struct ConversionComparisonTests {
    private let folder = TemporaryFolder()

    private func make(_ file: String, _ tensors: [(String, DType, Shape, [UInt8])]) throws -> TensorStore {
        let descriptors = try tensors.map { try TensorDescriptor(name: TensorName($0.0), dtype: $0.1, shape: $0.2) }
        let path = folder.file(file)
        let writer = try SafetensorsWriter(
            creating: path, declaring: descriptors, options: WriteOptions(force: true, sync: false))
        for (index, tensor) in tensors.enumerated() {
            try tensor.3.withUnsafeBytes { try writer.write($0, tensor: index, at: 0) }
        }
        _ = try writer.finish()
        return try TensorStore(opening: path)
    }

    private func floats(_ values: [Float]) -> [UInt8] { values.withUnsafeBytes(Array.init) }

    private func compare(
        _ a: [(String, DType, Shape, [UInt8])], _ b: [(String, DType, Shape, [UInt8])], tolerance: Double = 0
    ) throws -> CheckpointDifference {
        try CheckpointComparison(tolerance: tolerance, threads: 2)
            .compare(make("a.safetensors", a), make("b.safetensors", b))
    }

    @Test func aCheckpointEqualsItself() throws {
        let store = try TensorStore(opening: Fixtures.path("safetensors/every_dtype.safetensors"))
        let difference = try CheckpointComparison(threads: 2).compare(store, store)
        #expect(difference.isEmpty)
        #expect(difference.comparedCount == 20)
    }

    /// Differences 0, 0.5 and -2: the largest is 2, the mean square (0 + 0.25 + 4) / 3.
    @Test func measuresNumbers() throws {
        let difference = try compare([("x", .f32, [3], floats([1, 2, 3]))], [("x", .f32, [3], floats([1, 1.5, 5]))])
        let change = try #require(difference.changes.first)
        #expect(change.maximum == 2)
        #expect(change.rootMeanSquare == (4.25 / 3).squareRoot())
        #expect(change.differingCount == 2)
        #expect(!difference.isEmpty)
    }

    @Test func toleranceIsAbsoluteAndInclusive() throws {
        let (a, b) = ([Float(1), 2], [Float(1.5), 2])
        func count(_ tolerance: Double) throws -> Int {
            try compare([("x", .f32, [2], floats(a))], [("x", .f32, [2], floats(b))], tolerance: tolerance).changes
                .count
        }
        #expect(try count(0.5) == 0)
        #expect(try count(0.49) == 1)
    }

    @Test func namesTypesAndShapesDiffer() throws {
        let difference = try compare(
            [("both", .f32, [2], floats([1, 2])), ("onlyA", .u8, [1], [1]), ("shape", .u8, [2], [1, 2])],
            // BF16: 3F80 is 1, 4040 is 3.
            [
                ("both", .bf16, [2], [0x80, 0x3F, 0x40, 0x40]), ("onlyB", .u8, [1], [1]),
                ("shape", .u8, [2, 1], [1, 2]),
            ])
        #expect(difference.onlyInA == ["onlyA"])
        #expect(difference.onlyInB == ["onlyB"])
        let both = try #require(difference.changes.first { $0.name == "both" })
        #expect(both.a.dtype == .f32)
        #expect(both.b.dtype == .bf16)
        #expect(both.maximum == 1)
        #expect(both.differingCount == 1)
        let shape = try #require(difference.changes.first { $0.name == "shape" })
        #expect(shape.differingCount == nil)
        #expect(shape.maximum == nil)
    }

    @Test func specialValuesFollowTheirMeaning() throws {
        let nan = Float(bitPattern: 0x7FC0_0001)
        #expect(
            try compare(
                [("x", .f32, [3], floats([nan, 0, .infinity]))], [("x", .f32, [3], floats([nan, -0.0, .infinity]))]
            ).isEmpty)
        let payload = try compare([("x", .f32, [1], floats([nan]))], [("x", .f32, [1], floats([.nan]))])
        #expect(payload.changes.first?.differingCount == 1)
        #expect(payload.changes.first?.maximum?.isNaN == true)
        let infinite = try compare(
            [("x", .f32, [2], floats([.infinity, 1]))], [("x", .f32, [2], floats([1, 1]))], tolerance: 9)
        #expect(infinite.changes.first?.differingCount == 1)
        #expect(infinite.changes.first?.maximum == .infinity)
    }

    /// F4: the bytes 21 and 31 differ in their high halves. F6: of the elements 0, 1, 2, 3 in three bytes (bits 0-5, 6-11, 12-17,
    /// 18-23) flipping bit 6 and bit 23 touches elements 1 and 3. I32: one element in all four bytes.
    @Test func otherTypesAreComparedBitForBit() throws {
        let difference = try compare(
            [
                ("f4", .f4, [4], [0x21, 0x43]), ("f6", .f6E2M3, [4], [0, 0, 0]),
                ("i", .i32, [2], [1, 2, 3, 4, 5, 6, 7, 8]),
            ],
            [
                ("f4", .f4, [4], [0x31, 0x43]), ("f6", .f6E2M3, [4], [0x40, 0, 0x80]),
                ("i", .i32, [2], [0, 0, 0, 0, 5, 6, 7, 8]),
            ])
        let counts = Dictionary(uniqueKeysWithValues: difference.changes.map { ($0.name, $0.differingCount) })
        #expect(counts == ["f4": 1, "f6": 2, "i": 1])
        #expect(difference.changes.allSatisfy { $0.maximum == nil && $0.rootMeanSquare == nil })
    }

    /// F8_E4M3: 38 is 1, 40 is 2, 00 and 80 are zeros, 7F is NaN; F8_E5M2: 3C is 1. BF16: 3F80 is 1, 4040 is 3.
    @Test func eightBitFloatsAreNumbers() throws {
        let same = try compare(
            [("x", .f8E4M3, [4], [0x38, 0x40, 0x00, 0x7F])], [("x", .f8E4M3, [4], [0x38, 0x38, 0x80, 0x7F])])
        let change = try #require(same.changes.first)
        #expect(change.differingCount == 1)
        #expect(change.maximum == 1)
        #expect(change.rootMeanSquare == 0.5)
        #expect(
            try compare([("x", .f8E4M3, [1], [0x40])], [("x", .f8E4M3, [1], [0x38])], tolerance: 1).isEmpty)
        let other = try compare([("x", .f8E4M3, [1], [0x38])], [("x", .f8E5M2, [1], [0x3C])])
        #expect(other.changes.first?.maximum == 0)
        let wide = try compare([("x", .f8E5M2, [2], [0x3C, 0x3C])], [("x", .bf16, [2], [0x80, 0x3F, 0x40, 0x40])])
        #expect(wide.changes.first?.maximum == 2)
        #expect(wide.changes.first?.differingCount == 1)
    }

    @Test func sumsDoNotDependOnThreads() throws {
        let count = 3 << 20
        let a = try make("a.safetensors", [("x", .f32, [count], floats((0..<count).map { Float($0 % 977) * 0.37 }))])
        let b = try make("b.safetensors", [("x", .f32, [count], floats((0..<count).map { Float($0 % 983) * 0.41 }))])
        let results = try [1, 2, 5].map { try CheckpointComparison(threads: $0).compare(a, b).changes[0] }
        #expect(Set(results.map { $0.rootMeanSquare?.bitPattern }).count == 1)
        #expect(Set(results.map(\.differingCount)).count == 1)
    }
}
