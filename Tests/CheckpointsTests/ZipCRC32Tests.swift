import Checkpoints
import Testing

@Suite struct ZipCRC32Tests {
    /// The definition, one bit at a time.
    static func reference(_ bytes: some Sequence<UInt8>) -> UInt32 {
        var crc: UInt32 = 0xFFFF_FFFF
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? (crc >> 1) ^ 0xEDB8_8320 : crc >> 1 }
        }
        return ~crc
    }

    static func sum(_ bytes: some Collection<UInt8>) -> UInt32 { Array(bytes).withUnsafeBytes(CRC32.of) }

    /// The check value of the catalogue of CRC algorithms, and values of Python's zlib.crc32.
    @Test func givesKnownValues() {
        #expect(Self.sum("123456789".utf8) == 0xCBF4_3926)
        #expect(Self.sum([]) == 0)
        #expect(Self.sum([0]) == 0xD202_EF8D)
        #expect(Self.sum([UInt8](repeating: 0, count: 100)) == 0x9988_C6CA)
        #expect(Self.sum("The quick brown fox jumps over the lazy dog".utf8) == 0x414F_A339)
    }

    @Test func agreesWithTheDefinitionAtEveryLengthAndAlignment() {
        var generator = NpyTestGenerator(seed: 11)
        let bytes = (0..<200).map { _ in UInt8.random(in: 0...255, using: &generator) }
        for start in 0..<17 {
            for end in start..<min(start + 70, bytes.count) {
                let part = bytes[start..<end]
                let fast = bytes.withUnsafeBytes { CRC32.of(UnsafeRawBufferPointer(rebasing: $0[start..<end])) }
                #expect(fast == Self.reference(part))
            }
        }
    }

    /// Long runs are summed in two lanes of 16 KiB.
    @Test(arguments: [32_767, 32_768, 32_769, 65_536, 100_003]) func agreesWithTheDefinitionOverLongRuns(_ count: Int) {
        var generator = NpyTestGenerator(seed: 14)
        let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
        #expect(Self.sum(bytes) == Self.reference(bytes))
        #expect(Self.sum(bytes[1...]) == Self.reference(bytes[1...]))
    }

    @Test func continuesFromPieceToPiece() {
        var generator = NpyTestGenerator(seed: 12)
        let bytes = (0..<1000).map { _ in UInt8.random(in: 0...255, using: &generator) }
        var sum = CRC32()
        var position = 0
        while position < bytes.count {
            let end = min(bytes.count, position + Int.random(in: 0...37, using: &generator))
            bytes.withUnsafeBytes { sum.update(UnsafeRawBufferPointer(rebasing: $0[position..<end])) }
            position = end
        }
        #expect(sum.value == Self.reference(bytes))
    }

    @Test func joinsTheSumsOfNeighbours() {
        var generator = NpyTestGenerator(seed: 13)
        let bytes = (0..<5000).map { _ in UInt8.random(in: 0...255, using: &generator) }
        for cut in [0, 1, 2, 15, 16, 17, 255, 256, 2500, 4999, 5000] {
            let joined = CRC32.combine(Self.sum(bytes[..<cut]), Self.sum(bytes[cut...]), count: bytes.count - cut)
            #expect(joined == Self.reference(bytes))
        }
    }

    /// Zeros of 8 GiB and one byte: joining halves must equal joining one after the other.
    @Test func joinsPiecesBeyondFourGibibytes() {
        let mebibyte = Self.sum([UInt8](repeating: 0, count: 1 << 20))
        var doubled = mebibyte
        var count = 1 << 20
        while count < 1 << 33 {
            doubled = CRC32.combine(doubled, doubled, count: count)
            count *= 2
        }
        // zlib.crc32 of 8 GiB of zeros, from Python.
        #expect(doubled == 0x41D9_12FF)
    }
}

/// Sebastiano Vigna's SplitMix64: the same numbers everywhere for a seed.
struct NpyTestGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
