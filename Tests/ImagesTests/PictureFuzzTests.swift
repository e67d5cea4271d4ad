import Glibc
import Images
import TestSupport
import Testing

/// Damaged pictures never crash a decoder. `UNTANGLE_FUZZ` sets the number of mutations of each file, 200 by default.
@Suite struct PictureFuzzTests {
    private static let count = getenv("UNTANGLE_FUZZ").flatMap { Int(String(cString: $0)) } ?? 200

    private func mutate(_ bytes: inout [UInt8], _ random: inout TestGenerator) {
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let place = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<6, using: &random) {
            case 0: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 1: bytes[place] = UInt8.random(in: 0...255, using: &random)
            case 2: bytes[place] = [0, 0xFF, 0x7F, 0x80].randomElement(using: &random)!
            case 3: bytes.removeSubrange(place..<min(bytes.count, place + Int.random(in: 1...9, using: &random)))
            case 4: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + 30)], at: place)
            default: bytes.removeSubrange(place...)
            }
            if bytes.isEmpty { bytes = [0] }
        }
    }

    /// PNGs with right checksums, so that changes reach what is behind them.
    @Test func mutations() throws {
        var outcomes: [String: Int] = [:]
        for (number, row) in try rows(of: "decoded.tsv").enumerated() where row[0] != "wide.png" {
            let original = try fixture(row[0])
            var random = TestGenerator(state: UInt64(number))
            for _ in 0..<Self.count {
                var bytes = original
                mutate(&bytes, &random)
                if row[0].hasSuffix("png"), Bool.random(using: &random) { bytes = resealed(bytes) }
                do {
                    // A limit of its own, so that a large header costs no time.
                    let picture = try decode(bytes, maxPixelCount: 1 << 20)
                    #expect(picture.pixels.count == 3 * picture.width * picture.height)
                    outcomes["decoded", default: 0] += 1
                } catch { outcomes[error.code, default: 0] += 1 }
            }
        }
        // All ends are reached, so that the changes are neither too mild nor too rough.
        let ends = ["decoded"] + PictureError.Kind.allCases.map { "picture.\($0.rawValue)" }
        #expect(Set(outcomes.keys) == Set(ends), "\(outcomes)")
    }
}
