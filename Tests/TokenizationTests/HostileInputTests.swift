import Checkpoints
import SystemPackage
import TensorCore
import TestSupport
import Testing
import Tokenization

/// Damaged files and enormous lines: an error or a result, in time, and never a trap.
@Suite struct HostileInputTests {
    /// Numbers that are the same on every run.
    private struct Seeded: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state ^ state >> 33
        }
    }

    @Test(arguments: GoldenTests.names) func flippedBytesNeverTrap(name: String) throws {
        let original = try MappedFile(Fixtures.path("tokenizers/\(name).json")).withUnsafeBytes { Array($0) }
        var random = Seeded(state: 13)
        var readable = 0
        for _ in 0..<400 {
            var bytes = original
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(in: 0x20...0x7E, using: &random)
            }
            guard let tokenizer = try? Tokenizer(bytes, file: "flipped.json") else { continue }
            readable += 1
            for text in ["Hello, wörld! 한국 [MASK] lo", "e\u{301}\u{FF21}\u{301} 12 \u{1F469}\u{200D}\u{1F469}"] {
                _ = try? tokenizer.encode(text)
            }
        }
        #expect(readable > 0)
    }

    @Test(arguments: GoldenTests.names) func anyBytesAreATextOrAnError(name: String) throws {
        let tokenizer = try Tokenizer(reading: Fixtures.path("tokenizers/\(name).json"))
        var random = Seeded(state: 7)
        let text = Array("Hello, wörld! 한국어 e\u{301} [MASK]  \u{FF21}\u{301}".utf8)
        for _ in 0..<2000 {
            var bytes = text
            for _ in 0..<2 {
                bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            do {
                _ = try bytes.withUnsafeBufferPointer { try tokenizer.encode(utf8: $0) }
            } catch let error as TokenizerError {
                #expect(error.code == "tokenizer.bad_text")
            }
        }
    }

    /// Forty steps that each double a text would make two letters as long as memory.
    @Test func normalizersThatDoubleATextEnd() throws {
        let step = #"{"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}"#
        let steps = Array(repeating: step, count: 40).joined(separator: ",")
        let tokenizer = try Tokenizer(
            Array(
                """
                {"version": "1.0", "normalizer": {"type": "Sequence", "normalizers": [\(steps)]},
                 "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}
                """.utf8), file: "doubling.json")
        let error = try #require(throws: TokenizerError.self) { try tokenizer.encode("aa") }
        #expect(error.code == "tokenizer.pattern_limit")
    }

    /// Marks in the worst order, one word without an end, spaces, and unknown characters, 2 MB of each.
    @Test(arguments: GoldenTests.names) func longLinesTakeLinearTime(name: String) throws {
        let tokenizer = try Tokenizer(reading: Fixtures.path("tokenizers/\(name).json"))
        let texts = [
            String(repeating: "hello", count: 400_000), String(repeating: " ", count: 2_000_000),
            "a" + String(repeating: "\u{301}", count: 500_000) + String(repeating: "\u{323}", count: 500_000),
            String(repeating: "世", count: 600_000), String(repeating: "lo, ", count: 500_000),
        ]
        let clock = ContinuousClock()
        for text in texts {
            let duration = try clock.measure { _ = try tokenizer.encode(text) }
            // Quadratic work would take hours.
            #expect(duration < .seconds(30), "\(text.prefix(4))")
        }
    }
}
