import Checkpoints
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// Archives that hold more than tensors, made by `Fixtures/npz/mixed/make_mixed.py`.
@Suite struct NpzMixedTests {
    /// F32 `[[1, 2, 3], [4, 5, 6]]`, little-endian.
    private static let w: [UInt8] =
        [0, 0, 0x80, 0x3F, 0, 0, 0, 0x40, 0, 0, 0x40, 0x40]
        + [0, 0, 0x80, 0x40, 0, 0, 0xA0, 0x40, 0, 0, 0xC0, 0x40]

    private func open(
        _ file: String, only: [String] = [], exclude: [String] = [], void: VoidTypes = VoidTypes(),
        salvaging: Bool = false
    ) throws -> NpzReader {
        try NpzReader(
            opening: Fixtures.path("npz/mixed/" + file),
            options: ReadOptions(
                selection: TensorSelection(only: only, exclude: exclude), npyVoid: void, salvaging: salvaging))
    }

    private func names(_ reader: NpzReader) -> [String] { reader.descriptors.map(\.name.text) }

    @Test(arguments: ["mixed_stored.npz", "mixed_deflated.npz"])
    func whatNoTensorCanHoldIsPassedOver(_ file: String) throws {
        let reader = try open(file)
        #expect(names(reader) == ["w"])
        #expect(try reader.bytes(of: 0).withUnsafeBytes(Array.init) == Self.w)
        #expect(
            reader.warnings.map(\.text) == [
                "8 members of the archive are no tensors and are passed over: \"name\" (texts, dates or wide floats), "
                    + "\"raw\" (texts, dates or wide floats), \"made\" (texts, dates or wide floats), "
                    + "\"settings\" (Python objects), \"record\" (records), and 3 more"
            ])
        #expect(
            reader.unreadable.map(\.error.category) == [
                .unsupportedDtype, .unsupportedDtype, .unsupportedDtype, .objectDtype, .structuredDtype, .badMagic,
                .badMember, .badMagic,
            ])
        #expect(try reader.verify().damage.isEmpty)
    }

    @Test(arguments: [
        ("name", FormatCategory.unsupportedDtype), ("settings", .objectDtype), ("record", .structuredDtype),
        ("config.json", .badMagic), ("empty*", .badMember), ("*._w", .badMagic),
    ])
    func whatIsAskedForByItsNameIsRefused(_ pattern: String, _ category: FormatCategory) throws {
        for only in [[pattern], ["w", pattern]] {
            let error = #expect(throws: FormatError.self) { try open("mixed_stored.npz", only: only) }
            #expect(error?.category == category)
        }
        // A pattern that a tensor matches asks for that.
        #expect(names(try open("mixed_stored.npz", only: ["*"])) == ["w"])
    }

    @Test func whatIsLeftOutIsNotWarnedOf() throws {
        let reader = try open("mixed_stored.npz", only: ["w"], exclude: ["[!w]*"])
        #expect(names(reader) == ["w"])
        #expect(reader.warnings.isEmpty)
    }

    @Test func nothingButForeignMembersIsRefusedForTheFirst() {
        let error = #expect(throws: FormatError.self) { try open("foreign_only.npz") }
        #expect(error?.category == .unsupportedDtype)
        #expect(error?.tensor == "name")
    }

    /// Probably weights: nothing but a selection without them opens the file.
    @Test func elementsWithoutATypeAreRefusedUnlessLeftOut() throws {
        let error = #expect(throws: FormatError.self) { try open("void.npz") }
        #expect(error?.category == .unsupportedDtype)
        #expect(error?.hint == "if you know the type, name it, for example `--npy-void V2=BF16`")
        #expect(names(try open("void.npz", only: ["w"])) == ["w"])
        #expect(names(try open("void.npz", exclude: ["b", "e"])) == ["w"])
        #expect(throws: FormatError.self) { try open("void.npz", void: VoidTypes(.bf16)) }
        var types = VoidTypes(.bf16)
        types[.v1] = .f8E4M3
        let reader = try open("void.npz", void: types)
        #expect(reader.descriptors.map(\.dtype) == [.f32, .bf16, .f8E4M3])
        // 1 to 6 in F8_E4M3: the exponent's bias is 7, so 1 is 0_0111_000.
        #expect(try reader.bytes(of: 2).withUnsafeBytes(Array.init) == [0x38, 0x40, 0x44, 0x48, 0x4A, 0x4C])
    }

    @Test func namesMayBeginWithASlash() throws {
        #expect(names(try open("slash.npz")) == ["/w", "/params/w"])
    }

    @Test func aMethodThatIsNotReadLocksOnlyItsMember() throws {
        let error = #expect(throws: FormatError.self) { try open("bzip2.npz") }
        #expect(error?.category == .unsupportedCompression)
        #expect(names(try open("bzip2.npz", only: ["w"])) == ["w"])
    }

    /// The digest is NumPy's, of the array in row-major order.
    @Test func columnMajorElementsMayBeCutByBlocks() throws {
        let reader = try open("odd_header.npz")
        #expect(
            try reader.bytes(of: 0).withUnsafeBytes { TensorDigest(of: $0).hexadecimal }
                == "28cb12b26ae0a61741489934fac709325a4f719cc726b9313354706a5d1d2204")
    }

    /// A bit that makes an array look like something else is damage, and no reason to pass the array over.
    @Test func damageIsNotTakenForAForeignMember() throws {
        var bytes = try npyFileBytes(Fixtures.path("npz/mixed/slash.npz"))
        let magic = try #require(bytes.indices.first { bytes[$0...].starts(with: [0x93] + Array("NUMPY".utf8)) })
        bytes[magic] = 0x92
        let folder = TemporaryFolder()
        let path = try folder.write(bytes, to: "damaged.npz")
        let error = #expect(throws: FormatError.self) { try NpzReader(opening: path, options: ReadOptions()) }
        #expect(error?.category == .badCRC)
        let rest = try NpzReader(opening: path, options: ReadOptions(salvaging: true))
        #expect(names(rest) == ["/params/w"])
        #expect(try rest.verify().losses.map(\.tensor) == ["/w"])
    }
}
