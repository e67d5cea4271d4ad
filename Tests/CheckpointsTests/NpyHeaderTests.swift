import Checkpoints
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// Header texts that are rare or wrong, one rule each.
@Suite struct NpyHeaderTests {
    /// A file with the given header text and so many bytes of data.
    static func file(_ header: String, data: Int = 0, version: UInt8 = 1) -> [UInt8] {
        let text = Array(header.utf8)
        let length = UInt32(text.count)
        let bytes = (0..<(version == 1 ? 2 : 4)).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) }
        return [0x93] + Array("NUMPY".utf8) + [version, 0] + bytes + text + [UInt8](repeating: 7, count: data)
    }

    static func open(_ bytes: [UInt8], options: ReadOptions = ReadOptions()) throws -> NpyReader {
        let folder = TemporaryFolder()
        let path = try folder.write(bytes, to: "a.npy")
        return try withExtendedLifetime(folder) { try NpyReader(opening: path, options: options) }
    }

    static func refusal(_ header: String, data: Int = 0) -> String? {
        npyRefusal { _ = try open(file(header, data: data)) }
    }

    static func header(descr: String = "'<f4'", order: String = "False", shape: String = "(3,)") -> String {
        "{'descr': \(descr), 'fortran_order': \(order), 'shape': \(shape), }\n"
    }

    @Test(arguments: [
        ("{'descr':'<f4','fortran_order':False,'shape':(3,)}", [3]),
        ("  {\t'shape' : (3L , ) ,\r\n u'descr' : u\"<f4\" , \"fortran_order\" : False , }  \n\n", [3]),
        (header(shape: "()"), []),
        (header(shape: "(1, 3)"), [1, 3]),
        (header(shape: "(1,3,)"), [1, 3]),
        (header(order: "True", shape: "(3, 1)"), [3, 1]),
        (header(shape: "(0, 4611686018427387904)"), [0, 1 << 62]),
        (header(shape: "(\(String(repeating: "1, ", count: 64)))"), [Int](repeating: 1, count: 64)),
    ])
    func accepts(_ text: String, _ shape: [Int]) throws {
        let count = shape.reduce(1, &*)
        let reader = try Self.open(Self.file(text, data: 4 * count))
        #expect(reader.descriptors[0].shape.dims == shape)
        #expect(reader.descriptors[0].dtype == .f32)
        #expect(reader.descriptors[0].name == "arr")
        #expect(reader.isMapped(0))
    }

    @Test(arguments: [
        // Grammar.
        ("", "header_grammar"), ("{", "header_grammar"), ("{}", "header_grammar"), ("{,}", "header_grammar"),
        ("None", "header_grammar"), ("{'descr': '<f4', 'shape': (3,)}", "header_grammar"),
        (header() + "x", "header_grammar"), (header() + "\0", "header_grammar"),
        (header(descr: "b'<f4'"), "header_grammar"), (header(descr: "'<f' '4'"), "header_grammar"),
        (header(descr: "'\\x3cf4'"), "header_grammar"), (header(descr: "'<f4"), "header_grammar"),
        (header(order: "false"), "header_grammar"), (header(order: "None"), "header_grammar"),
        (header(order: "1"), "header_grammar"), (header(order: "(True)"), "header_grammar"),
        (header(shape: "(3,,)"), "header_grammar"), (header(shape: "(,)"), "header_grammar"),
        (header(shape: "(3 4)"), "header_grammar"), (header(shape: "(0x3,)"), "header_grammar"),
        (header(shape: "(1_0,)"), "header_grammar"), (header(shape: "(03,)"), "header_grammar"),
        (header(shape: "(3*1,)"), "header_grammar"), (header(shape: "(4-1,)"), "header_grammar"),
        (header(shape: "(-,)"), "header_grammar"), (header(shape: "(3LL,)"), "header_grammar"),
        (header(shape: "((((((((((3,),),),),),),),),),)"), "header_grammar"),
        ("{1: 2, 'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", "header_grammar"),
        ("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", "duplicate_key"),
        ("{'descr': '<f4', u'shape': (3,), 'fortran_order': False, \"shape\": (4,)}", "duplicate_key"),
        // Shapes.
        (header(shape: "(3.0,)"), "bad_shape"), (header(shape: "(3e0,)"), "bad_shape"),
        (header(shape: "(3j,)"), "bad_shape"),
        (header(shape: "(-0,)"), "bad_shape"), (header(shape: "(+3,)"), "bad_shape"),
        (header(shape: "('3',)"), "bad_shape"),
        (header(shape: "((3,),)"), "bad_shape"), (header(shape: "{}"), "bad_shape"),
        (header(shape: "((3),)"), "bad_shape"),
        (header(shape: "(\(String(repeating: "1, ", count: 65)))"), "bad_shape"),
        (header(shape: "(9223372036854775808,)"), "overflow"),
        (header(shape: "(\(String(repeating: "9", count: 400)),)"), "overflow"),
        (header(shape: "(2305843009213693952,)"), "overflow"),
        (header(shape: "(4611686018427387904, 4, 0)"), "overflow"),
        // Element types.
        (header(descr: "3"), "bad_descr"), (header(descr: "('<f4')"), "bad_descr"),
        (header(descr: "'f4'"), "bad_descr"),
        (header(descr: "'float32'"), "bad_descr"), (header(descr: "'<f4 '"), "bad_descr"),
        (header(descr: "'!f4'"), "bad_descr"),
        (header(descr: "'<f-4'"), "bad_descr"), (header(descr: "'<f4[2]'"), "bad_descr"),
        (header(descr: "'<f99999999999999999999'"), "bad_descr"), (header(descr: "'<é4'"), "bad_descr"),
        (header(descr: "'<f3'"), "unsupported_dtype"), (header(descr: "'<u16'"), "unsupported_dtype"),
        (header(descr: "'|S7'"), "unsupported_dtype"), (header(descr: "'<m8[ns]'"), "unsupported_dtype"),
        (header(descr: "'|V16'"), "unsupported_dtype"), (header(descr: "'|V0'"), "unsupported_dtype"),
        (header(descr: "'O'"), "object_dtype"), (header(descr: "'<O8'"), "object_dtype"),
        (header(descr: "[('O', '<f4'), ('b', '|O')]"), "object_dtype"),
        (header(descr: "[('a', [('b', 'O')])]"), "object_dtype"),
        (header(descr: "[('a', '|O', (2,))]"), "object_dtype"),
        (header(descr: "('|O', (2,))"), "object_dtype"),
        (header(descr: "[('O', '<f4')]"), "structured_dtype"), (header(descr: "[]"), "structured_dtype"),
        (header(descr: "('<f4', (2,))"), "structured_dtype"), (header(descr: "{'names': ['a']}"), "structured_dtype"),
    ])
    func refuses(_ text: String, _ category: String) {
        #expect(Self.refusal(text, data: 12) == category)
    }

    @Test func comparesTheSizeWithTheShape() {
        #expect(Self.refusal(Self.header(), data: 12) == nil)
        #expect(Self.refusal(Self.header(), data: 11) == "truncated")
        #expect(Self.refusal(Self.header(), data: 13) == "trailing_bytes")
        #expect(Self.refusal(Self.header(shape: "(1099511627776,)"), data: 12) == "truncated")
    }

    @Test func takesAHeaderOfAtMostTenThousandBytes() {
        let header = Self.header()
        let padded = header + String(repeating: " ", count: 10_000 - header.utf8.count)
        #expect(Self.refusal(padded, data: 12) == nil)
        #expect(Self.refusal(padded + " ", data: 12) == "header_too_large")
    }

    @Test func readsLatin1BeforeVersion3AndUTF8From3On() {
        var latin = Self.file("{'descr': [('?', '<f4')], 'fortran_order': False, 'shape': (1,)}", data: 4, version: 2)
        let place = latin.firstIndex(of: UInt8(ascii: "?"))!
        latin[place] = 0xE9
        #expect(npyRefusal { _ = try Self.open(latin) } == "structured_dtype")
        latin[6] = 3
        #expect(npyRefusal { _ = try Self.open(latin) } == "invalid_utf8")
    }

    @Test func everyTruncationIsRefused() {
        let whole = Self.file(Self.header(), data: 12)
        for count in 0..<whole.count {
            let refusal = npyRefusal { _ = try Self.open(Array(whole[..<count])) }
            #expect(refusal == "truncated", "\(count) bytes gave \(refusal ?? "no refusal")")
        }
    }

    @Test func aPickleIsAnObject() {
        #expect(npyRefusal { _ = try Self.open([0x80, 4, 0x95, 0, 0, 0, 0, 0, 0, 0, 0, 0x2E]) } == "object_dtype")
    }

    @Test func warnsWhenTheByteOrderIsLeftToTheMachine() throws {
        for (descr, count) in [("'=f4'", 1), ("'|f4'", 1), ("'<f4'", 0), ("'|u1'", 0), ("'=u1'", 0)] {
            let size = descr.contains("4") ? 12 : 3
            let reader = try Self.open(Self.file(Self.header(descr: descr), data: size))
            #expect(reader.warnings.count == count)
        }
    }

    @Test func anErrorSaysWhereTheFaultIs() throws {
        let error = try #require(throws: FormatError.self) {
            try Self.open(Self.file("{'descr': '<f4', 'fortran_order': False, 'shape': (3,) oops}", data: 12))
        }
        #expect(error.byteOffset == 10 + 55)
        #expect(error.file?.hasSuffix("a.npy") == true)
        #expect(error.code == "format.header_grammar")
    }
}
