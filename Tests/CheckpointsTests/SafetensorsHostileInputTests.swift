import Checkpoints
import Glibc
import SystemPackage
import TensorCore
import TestSupport
import Testing

@Suite struct SafetensorsHostileInputTests {
    private let folder = TemporaryFolder()

    private func fault(_ header: String, data: [UInt8] = []) throws -> FormatError? {
        let path = try folder.write(safetensorsFile(header, data: data), to: "x.safetensors")
        do {
            _ = try SafetensorsReader(opening: path)
            return nil
        } catch { return error as? FormatError }
    }

    private func tensor(_ shape: String, _ offsets: String, dtype: String = "F32") -> String {
        #"{"a":{"dtype":"\#(dtype)","shape":\#(shape),"data_offsets":\#(offsets)}}"#
    }

    /// Numbers near the limits of 64 bits, none of which may trap.
    @Test(arguments: [
        ("[18446744073709551615]", "[0,4]", FormatCategory.overflow),
        ("[18446744073709551616]", "[0,4]", .badShape),
        ("[9223372036854775807]", "[0,4]", .overflow),
        ("[9223372036854775807,2]", "[0,0]", .overflow),
        ("[9223372036854775808,4,0]", "[0,0]", .overflow),
        ("[-0]", "[0,0]", .badShape),
        ("[1]", "[18446744073709551612,18446744073709551615]", .sizeMismatch),
        ("[1]", "[18446744073709551611,18446744073709551615]", .hole),
        ("[0]", "[18446744073709551615,18446744073709551615]", .hole),
        ("[1]", "[0,18446744073709551615]", .sizeMismatch),
        ("[1]", "[0,18446744073709551616]", .badOffsets),
        ("[288230376151711743]", "[0,1152921504606846972]", .truncated),
        ("{}", "[0,4]", .badShape),
        ("[1]", "{}", .badOffsets),
        ("[1]", "[]", .badOffsets),
    ])
    func refusesNumbersThatDoNotFit(_ shape: String, _ offsets: String, _ category: FormatCategory) throws {
        #expect(try fault(tensor(shape, offsets), data: [0, 0, 0, 0])?.category == category)
    }

    /// Rules of the header that no file of the conformance set breaks; four bytes of data follow.
    @Test(
        arguments: [
            (#"{"a":{"dtype":"F32","shape":[1]}}"#, FormatCategory.missingField),
            (#"{"a":{}}"#, .missingField),
            (#"{"a":["F32",[1],[0,4]]}"#, .badTensorInfo),
            (#"{"a":null}"#, .badTensorInfo),
            (#"{"a":{"dtype":["F32"],"shape":[1],"data_offsets":[0,4]}}"#, .unknownDtype),
            (#"{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, .duplicateKey),
            (#"{"a":{"dtype":"F32","\u0073hape":[1],"shape":[1],"data_offsets":[0,4]}}"#, .duplicateKey),
            (#"{"__metadata__":{},"__metadata__":{}}"#, .duplicateKey),
            (#"{"__metadata__":[]}"#, .badMetadata),
            (#"{"__metadata__":"a"}"#, .badMetadata),
            (#"{"__metadata__":{"a":"b","c":["d"]}}"#, .badMetadata),
            (#"{"a":{"dtype":"F32 ","shape":[1],"data_offsets":[0,4]}}"#, .unknownDtype),
            (#"{"a":{"dtype":"F32\u0000","shape":[1],"data_offsets":[0,4]}}"#, .unknownDtype),
            (#"{"a":{"dtype":"Q4_0","shape":[1],"data_offsets":[0,4]}}"#, .unknownDtype),
            (#"{"a":{"dtype":"F32","shape":[true],"data_offsets":[0,4]}}"#, .badShape),
            (#"{"a":{"dtype":"F32","shape":1,"data_offsets":[0,4]}}"#, .badShape),
            (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,"4"]}}"#, .badOffsets),
            (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[false,4]}}"#, .badOffsets),
            (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4e0]}}"#, .badOffsets),
            (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[-0,4]}}"#, .badOffsets),
            (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,[4]]}}"#, .badOffsets),
            (#"{"a":{"dtype":"F6_E3M2","shape":[2],"data_offsets":[0,2]}}"#, .misalignedSubbyte),
            (#"{"a":{"dtype":"F4","shape":[3,3],"data_offsets":[0,4]}}"#, .misalignedSubbyte),
            (#"{"a":{"dtype":"F4","shape":[8],"data_offsets":[0,8]}}"#, .sizeMismatch),
            (#"{"a":{"dtype":"U8","shape":[3],"data_offsets":[1,4]}}"#, .hole),
            (#"{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}"#, .trailingBytes),
            (#"{"a":{"dtype":"U8","shape":[5],"data_offsets":[0,5]}}"#, .truncated),
            (
                #"{"a":{"dtype":"U8","shape":[0],"data_offsets":[5,5]},"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#,
                .hole
            ),
            (
                #"{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}"#,
                .overlap
            ),
        ] as [(String, FormatCategory)])
    func refuses(_ header: String, _ category: FormatCategory) throws {
        #expect(try fault(header, data: [0, 0, 0, 0])?.category == category)
    }

    @Test func namesTensorAndByteOffset() throws {
        let error = try #require(try fault(tensor("[2]", "[0,4]"), data: [0, 0, 0, 0]))
        #expect(error.code == "format.size_mismatch")
        #expect(error.tensor == "a")
        // 8 bytes of length, then the position of `[0,4]` in the header.
        #expect(error.byteOffset == 8 + 47)
        #expect(
            error.message
                == "tensor \"a\" of dtype F32 and shape [2] needs 8 bytes but its range has 4")
    }

    @Test func refusesComplexDoubles() throws {
        #expect(
            try fault(tensor("[1]", "[0,16]", dtype: "C128"), data: [UInt8](repeating: 0, count: 16))?.category
                == .unknownDtype)
    }

    @Test func metadataIsCheckedBeforeTensors() throws {
        #expect(try fault(#"{"a":7,"__metadata__":{"k":1}}"#)?.category == .badMetadata)
    }

    @Test func syntaxIsCheckedBeforeDuplicates() throws {
        #expect(try fault(#"{"a":1,"a":2"#)?.category == .invalidJSON)
        #expect(try fault(#"{"a":1,"a":2}"#)?.category == .duplicateKey)
    }

    @Test func anEmptyTensorInsideAnotherIsAnOverlap() throws {
        let header =
            #"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[0],"data_offsets":[2,2]}}"#
        #expect(try fault(header, data: [0, 0, 0, 0])?.category == .overlap)
    }

    @Test func saysWhatAFileIsThatIsNotSafetensors() throws {
        let pointer = try folder.write(
            Array("version https://git-lfs.github.com/spec/v1\noid sha256:00\n".utf8), to: "p.safetensors")
        let error = #expect(throws: FormatError.self) { try CheckpointFormat.open(pointer) }
        #expect(error?.hint?.contains("git lfs pull") == true)
    }

    // MARK: Salvaging

    /// Two F32 tensors of 8 and 4 bytes.
    private static let pair =
        #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#

    @Test func bytesBehindTheLastTensorAreLeftOut() throws {
        let file = safetensorsFile(Self.pair, data: [UInt8](1...17))
        let path = try folder.write(file, to: "tail.safetensors")
        let error = #expect(throws: FormatError.self) { try SafetensorsReader(opening: path) }
        #expect(error?.category == .trailingBytes)
        #expect(error?.hint?.contains("untangle convert \(path) OUTPUT --salvage") == true)
        let reader = try SafetensorsReader(opening: path, options: ReadOptions(salvaging: true))
        #expect(reader.bytes(of: 1).withUnsafeBytes(Array.init) == [9, 10, 11, 12])
        let verification = try reader.verify()
        #expect(verification.losses.isEmpty)
        #expect(
            verification.harmlessDamage == [
                Damage(
                    tensor: nil, file: path, offset: file.count - 5, byteCount: 5,
                    reason: "5 bytes follow the last tensor")
            ])
    }

    @Test func ofAFileThatIsCutShortWhatIsWholeIsKept() throws {
        let file = safetensorsFile(Self.pair, data: [UInt8](1...9))
        let path = try folder.write(file, to: "cut.safetensors")
        #expect(throws: FormatError.self) { try SafetensorsReader(opening: path) }
        let reader = try SafetensorsReader(opening: path, options: ReadOptions(salvaging: true))
        #expect(reader.descriptors.map(\.name) == ["a"])
        let losses = try reader.verify().losses
        #expect(losses.map(\.tensor) == ["b"])
        #expect(losses.map(\.byteCount) == [1])
        #expect(
            losses.map(\.reason) == ["the file ends at byte \(file.count), and 3 bytes of the tensor are missing"])
    }

    // MARK: Fuzzing

    /// Tries per fixture; the environment variable asks for a longer run.
    private static let budget = getenv("UNTANGLE_FUZZ").flatMap { Int(String(cString: $0)) } ?? 400

    private static let seeds = [
        "safetensors/every_dtype", "safetensors/shapes", "safetensors/names",
        "conformance/good/safetensors/metadata_last_in_header",
    ]

    /// Opens a damaged file and reads everything that is offered: an error or an answer, never a trap.
    private func exercise(_ bytes: [UInt8]) throws {
        let path = try folder.write(bytes, to: "fuzz.safetensors")
        do {
            let store = try TensorStore(opening: path)
            var total = 0
            for descriptor in store.descriptors { total += try store.copy(of: descriptor.name)?.count ?? 0 }
            #expect(total <= bytes.count)
        } catch is FormatError {}
    }

    @Test(arguments: seeds) func survivesFlippedBytes(_ seed: String) throws {
        let original = try Fixtures.path("\(seed).safetensors").contents()
        let header = Int(original.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) })
        var noise = Noise(seed: 20_240_601)
        for _ in 0..<Self.budget {
            var bytes = original
            for _ in 0...Int(noise.next() % 3) {
                let place = Int(noise.next() % UInt64(8 + header))
                let structural = Array("{}[]\",:0123456789\\-.e".utf8)
                bytes[place] =
                    noise.next() % 2 == 0
                    ? UInt8(truncatingIfNeeded: noise.next()) : structural[Int(noise.next() % UInt64(structural.count))]
            }
            try exercise(bytes)
        }
    }

    @Test(arguments: seeds) func survivesTruncation(_ seed: String) throws {
        let original = try Fixtures.path("\(seed).safetensors").contents()
        let step = max(1, original.count / Self.budget)
        for count in stride(from: 0, to: original.count, by: step) {
            let path = try folder.write(Array(original.prefix(count)), to: "cut.safetensors")
            #expect(throws: FormatError.self, "cut to \(count) bytes") { try SafetensorsReader(opening: path) }
        }
    }
}
