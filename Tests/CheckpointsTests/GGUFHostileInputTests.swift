import Checkpoints
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// Damaged GGUF files are refused or read, and never crash the reader.
@Suite struct GGUFHostileInputTests {
    private let folder = TemporaryFolder()

    private static func files() -> [FilePath] {
        ["good", "bad"].flatMap { kind in
            let folder = Fixtures.path("conformance/\(kind)/gguf")
            return folder.listing().filter { $0.hasSuffix(".gguf") }.map { folder.appending($0) }
        }
    }

    /// Everything that a reader can be asked.
    private func readThrough(_ path: FilePath, salvaging: Bool = false) throws {
        let reader = try GGUFReader(opening: path, options: ReadOptions(salvaging: salvaging))
        for (index, descriptor) in reader.descriptors.enumerated() {
            _ = reader.location(of: index)
            let bytes = reader.bytes(of: index)
            #expect(bytes.count == descriptor.byteCount)
            if case .blocks(let type) = descriptor.layout, type.isDecodable, descriptor.elementCount < 1 << 20 {
                let numbers = try FloatBuffer(count: descriptor.elementCount)
                bytes.withUnsafeBytes { type.dequantize($0, into: numbers.pointer) }
            }
        }
        _ = reader.metadata
    }

    private func refusal(_ path: FilePath, salvaging: Bool = false) throws -> FormatCategory? {
        do {
            try readThrough(path, salvaging: salvaging)
            return nil
        } catch let error as FormatError { return error.category }
    }

    @Test(arguments: files()) func cutsAtEveryByte(_ file: FilePath) throws {
        let content = try file.contents()
        for length in content.indices {
            let path = try folder.write(Array(content[..<length]), to: "cut.gguf")
            _ = try refusal(path)
            _ = try refusal(path, salvaging: true)
        }
    }

    /// What is whole but for the last byte of a tensor is told as cut short.
    @Test func tellsOfAMissingByte() throws {
        let content = try Fixtures.path("conformance/good/gguf/type_q8_0.gguf").contents()
        let path = try folder.write(Array(content.dropLast()), to: "cut.gguf")
        let error = try #require(throws: FormatError.self) { try GGUFReader(opening: path) }
        #expect(error.category == .truncated)
        #expect(error.tensor == "w")
        let rest = try GGUFReader(opening: path, options: ReadOptions(salvaging: true))
        #expect(rest.descriptors.isEmpty)
        #expect(try rest.verify().losses.map(\.tensor) == ["w"])
    }

    @Test(arguments: files()) func flipsEveryByte(_ file: FilePath) throws {
        var content = try file.contents()
        for place in content.indices {
            let byte = content[place]
            content[place] = byte ^ [0x01, 0x80, 0xFF][place % 3]
            _ = try refusal(try folder.write(content, to: "flipped.gguf"))
            content[place] = byte
        }
    }

    /// A head by hand: counts, key-value pairs, tensors.
    private func head(tensors: UInt64 = 0, pairs: UInt64 = 0, _ fields: [UInt8] = []) -> [UInt8] {
        Array("GGUF".utf8) + field(3 as UInt32) + field(tensors) + field(pairs) + fields
    }

    private func field<T: FixedWidthInteger>(_ number: T) -> [UInt8] {
        withUnsafeBytes(of: number.littleEndian, Array.init)
    }

    private func text(_ text: String) -> [UInt8] { field(UInt64(text.utf8.count)) + text.utf8 }

    private func fault(_ content: [UInt8]) throws -> FormatCategory? {
        try refusal(try folder.write(content, to: "x.gguf"))
    }

    /// Numbers near the limits of 64 bits, none of which may trap.
    @Test(arguments: [UInt64.max, 1 << 63, 1 << 62, 1 << 61, 1 << 32]) func refusesNumbersThatDoNotFit(_ number: UInt64)
        throws
    {
        #expect(try fault(head(tensors: number)) == .limitExceeded)
        #expect(try fault(head(pairs: number)) == .limitExceeded)
        #expect(try fault(head(pairs: 1, field(number))) == .truncated)
        for kind in 0...12 as ClosedRange<UInt32> {
            let array = text("a") + field(9 as UInt32) + field(kind) + field(number)
            #expect([.limitExceeded, .overflow].contains(try fault(head(pairs: 1, array))))
        }
        for dims in [[number], [number, number], [0, number], [number, 0], [1, number, 1, number]] {
            let tensor = text("t") + field(UInt32(dims.count)) + dims.flatMap(field) + field(0 as UInt32)
            #expect(
                try fault(head(tensors: 1, tensor + field(0 as UInt64) + [UInt8](repeating: 0, count: 64))) != nil
                    || dims.contains(0))
            #expect(try fault(head(tensors: 1, tensor + field(number & ~31))) != nil)
        }
    }

    /// More than any model has would take long to read.
    @Test func refusesMoreTensorsAndKeysThanAreRead() throws {
        let room = [UInt8](repeating: 0, count: 24 * 100_001)
        #expect(try fault(head(tensors: 100_001, room)) == .limitExceeded)
        #expect(try fault(head(tensors: 100_000, room)) == .duplicateKey)
        #expect(try fault(head(pairs: 10_001, room)) == .limitExceeded)
        #expect(try fault(head(pairs: 10_000, room)) == .badName)
    }

    @Test func refusesKeysTwice() throws {
        let pair = text("a") + field(0 as UInt32) + [1]
        #expect(try fault(head(pairs: 2, pair + pair)) == .duplicateKey)
        #expect(try fault(head(pairs: 1, text("") + field(0 as UInt32) + [1])) == .badName)
        #expect(
            try fault(head(pairs: 1, text(String(repeating: "k", count: 65_536)) + field(0 as UInt32) + [1]))
                == .limitExceeded)
    }

    @Test func refusesArraysTooDeep() throws {
        func array(_ depth: Int) -> [UInt8] {
            depth == 0 ? [7] : field(UInt32(depth == 1 ? 0 : 9)) + field(1 as UInt64) + array(depth - 1)
        }
        #expect(try fault(head(pairs: 1, text("a") + field(9 as UInt32) + array(4))) == nil)
        #expect(try fault(head(pairs: 1, text("a") + field(9 as UInt32) + array(5))) == .nestingTooDeep)
        #expect(try fault(head(pairs: 1, text("a") + field(9 as UInt32) + array(1000))) == .nestingTooDeep)
    }

    /// `é` written in two ways is two names.
    @Test func tellsNamesByTheirBytes() throws {
        let first = text("\u{E9}") + field(0 as UInt32) + field(0 as UInt32) + field(0 as UInt64)
        let second = text("e\u{301}") + field(0 as UInt32) + field(0 as UInt32) + field(32 as UInt64)
        let content = head(tensors: 2, first + second + [UInt8](repeating: 0, count: 128))
        #expect(try fault(content) == nil)
    }

    @Test func refusesTheFirstVersion() throws {
        let content = Array("GGUF".utf8) + field(1 as UInt32) + field(0 as UInt64)
        #expect(try fault(content) == .unsupportedVersion)
    }
}
