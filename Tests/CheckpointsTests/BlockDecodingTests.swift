import Checkpoints
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// Quantised blocks against the Python package gguf; see Fixtures/gguf/make_blocks.py.
@Suite struct BlockDecodingTests {
    private static let expected: [String: String] = {
        guard let document = try? JSONDocument.parse(Fixtures.path("gguf/blocks.json").contents()) else { return [:] }
        return document.object.map { $0.reduce(into: [:]) { $0[$1.key] = $1.value.string } } ?? [:]
    }()

    /// Every NaN as the same one.
    private func digest(_ numbers: UnsafeBufferPointer<Float>) -> String {
        let bits = numbers.map { $0.isNaN ? 0x7FC0_0000 : $0.bitPattern }
        return bits.withUnsafeBytes { TensorDigest(of: $0).hexadecimal }
    }

    @Test func theTypesAreThose() {
        let decoded = BlockType.allCases.filter(\.isDecodable).map(\.rawValue)
        #expect(Set(decoded + ["quantized Q8_0"]) == Set(Self.expected.keys))
    }

    @Test(arguments: BlockType.allCases.filter(\.isDecodable)) func decodesToTheSameBits(_ type: BlockType) throws {
        var noise = Noise(seed: 1)
        let blocks = noise.bytes(256 * type.byteCount)
        let numbers = try FloatBuffer(count: 256 * type.elementCount)
        blocks.withUnsafeBytes { type.dequantize($0, into: numbers.pointer) }
        let found = withExtendedLifetime(numbers) { digest(UnsafeBufferPointer(numbers.values)) }
        #expect(found == Self.expected[type.rawValue])
    }

    /// What lies before and behind is neither read into a number nor written over.
    @Test(arguments: BlockType.allCases.filter(\.isDecodable)) func keepsToItsBlocks(_ type: BlockType) throws {
        var noise = Noise(seed: 2)
        var content = noise.bytes(3 * type.byteCount + 1)
        let count = type.elementCount
        func decodeMiddle() throws -> [UInt32] {
            let numbers = try FloatBuffer([Float](repeating: 7, count: 3 * count))
            content.withUnsafeBytes { bytes in
                let middle = bytes[1 + type.byteCount..<1 + 2 * type.byteCount]
                type.dequantize(UnsafeRawBufferPointer(rebasing: middle), into: numbers.pointer + count)
            }
            return numbers.numbers.map(\.bitPattern)
        }
        let first = try decodeMiddle()
        let outside = Array(first[..<count] + first[(2 * count)...])
        #expect(outside.allSatisfy { $0 == Float(7).bitPattern })
        for place in content.indices where !(1 + type.byteCount..<1 + 2 * type.byteCount).contains(place) {
            content[place] = ~content[place]
        }
        let isTheSame = try decodeMiddle() == first
        #expect(isTheSame)
    }

    @Test func encodesToTheSameBits() throws {
        var noise = Noise(seed: 1)
        let bits = noise.bytes(4 * 32 * 256)
        let random = bits.withUnsafeBytes { bytes in
            (0..<32 * 256).map { Float(bitPattern: bytes.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self)) }
        }
        let small = noise.bytes(32 * 256).map { Float(Int8(bitPattern: $0)) }
        let numbers = random.map { $0.isNaN ? 1 : $0 } + small.map { $0 * 0.037 } + small.map { $0 / 2 }
        var blocks = [UInt8](repeating: 0, count: numbers.count / 32 * 34)
        numbers.withUnsafeBufferPointer { numbers in
            blocks.withUnsafeMutableBytes { BlockType.q8_0.quantize(numbers, into: $0.baseAddress!) }
        }
        let found = blocks.withUnsafeBytes { TensorDigest(of: $0).hexadecimal }
        #expect(found == Self.expected["quantized Q8_0"])
    }

    /// The numbers of a block with NaN or infinity are zero, and the scale tells.
    @Test(arguments: [Float.nan, .infinity, -.infinity]) func encodesWhatIsNotFinite(_ odd: Float) {
        var numbers = [Float](repeating: 3, count: 32)
        numbers[5] = odd
        var block = [UInt8](repeating: 0, count: 34)
        numbers.withUnsafeBufferPointer { numbers in
            block.withUnsafeMutableBytes { BlockType.q8_0.quantize(numbers, into: $0.baseAddress!) }
        }
        #expect(block[1] & 0x7C == 0x7C)
        #expect(block.dropFirst(2).allSatisfy { $0 == 0 })
    }
}
