import Checkpoints
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// Pickles that want to run something, to fill the memory or to take for ever: refused, soon, and never a trap.
@Suite struct TorchHostileInputTests {
    private let folder = TemporaryFolder()
    private typealias File = TorchTestFile

    private func refusal(_ bytes: [UInt8], root: String? = nil) throws -> String? {
        let path = try folder.write(bytes, to: "hostile.pt")
        return npyRefusal { _ = try NpyTensorSummary.all(TorchReader(opening: path, options: ReadOptions(root: root))) }
    }

    private static let tensor = File.tensor(count: 2, shape: [2], strides: [1])
    private static let numbers = File.floats([1, 2])

    /// Every way to name or call something, each beside a tensor, in the words of pickle.
    static let unsafe: [(String, [UInt8])] = [
        ("os.system called", File.global("os", "system") + File.tuple([File.text("true")]) + [0x52]),
        ("os.system named", File.global("os", "system")),
        ("os.system popped", File.global("os", "system") + [0x30, 0x4E]),
        ("a name of torch", File.global("torch", "load")),
        ("a dotted name", File.text("torch._utils") + File.text("_rebuild_tensor_v2.__globals__") + [0x93]),
        ("a longer module", File.global("torch._utils.os", "_rebuild_tensor_v2")),
        ("a class of TorchScript", File.global("__torch__.Model", "Model")),
        ("a storage called", File.global("torch", "FloatStorage") + [0x29, 0x52]),
        ("a dtype called", File.global("torch", "float32") + [0x29, 0x52]),
        ("a text called", File.text("f") + [0x29, 0x52]),
        ("an object of OrderedDict", File.global("collections", "OrderedDict") + [0x29, 0x81]),
        ("INST", [0x28] + Array("ios\nsystem\n".utf8)),
        ("OBJ", [0x28] + File.global("torch", "Tensor") + [0x6F]),
        ("EXT1", [0x82, 1]), ("EXT2", [0x83, 1, 0]), ("EXT4", [0x84, 1, 0, 0, 0]), ("PERSID", Array("P0\n".utf8)),
        ("NEWOBJ_EX", File.global("torch", "Tensor") + [0x29, 0x7D, 0x92]),
        ("attributes of a tensor", tensor + File.dict(["x": [0x4E]]) + [0x62]),
        ("attributes of a list", [0x5D] + File.dict(["x": [0x4E]]) + [0x62]),
        ("a special attribute", File.orderedDict + File.dict(["__class__": [0x4E]]) + [0x62]),
        (
            "a type of its own",
            File.global("torch._tensor", "_rebuild_from_type_v2")
                + File.tuple([
                    File.global("collections", "OrderedDict"), File.global("torch", "Tensor"), [0x29], [0x4E],
                ]) + [0x52]
        ),
    ]

    @Test(arguments: unsafe) func refusesWhateverCouldRun(_ name: String, _ value: [UInt8]) throws {
        let body = File.dict(["w": Self.tensor, "x": value])
        #expect(try refusal(File.archive(body, [Self.numbers])) == "unsafe_pickle")
        #expect(try refusal(File.stream(body, [(key: "0", count: 2, bytes: Self.numbers)])) == "unsafe_pickle")
    }

    /// The attributes of `state_dict()` and of tensors with attributes are in every other file.
    @Test func readsWhatOrdinaryFilesHave() throws {
        let metadata = File.dict(["_metadata": File.orderedDict])
        let body =
            File.global("collections", "OrderedDict")
            + File.tuple([File.list([File.tuple([File.text("w"), Self.tensor])])]) + [0x52] + metadata + [0x62]
        #expect(try refusal(File.archive(body, [Self.numbers])) == nil)
        let typed =
            File.global("torch._tensor", "_rebuild_from_type_v2")
            + File.tuple([
                File.global("torch._utils", "_rebuild_tensor_v2"), File.global("torch", "Tensor"),
                Array(Self.tensor.dropFirst(File.global("torch._utils", "_rebuild_tensor_v2").count).dropLast()),
                File.dict(["note": File.text("x")]),
            ]) + [0x52]
        #expect(try refusal(File.archive(File.dict(["w": typed]), [Self.numbers])) == nil)
    }

    @Test func refusesContainersInThemselves() throws {
        // d = {}; d['a'] = d, with a tensor beside.
        let selfish = [0x7D, 0x71, 0] + File.text("a") + [0x68, 0, 0x73] + File.text("w") + Self.tensor + [0x73]
        #expect(try refusal(File.archive(selfish, [Self.numbers])) == "nesting_too_deep")
        let list: [UInt8] = [0x5D, 0x71, 0, 0x68, 0, 0x61]
        #expect(
            try refusal(File.archive(File.dict(["w": Self.tensor, "l": list]), [Self.numbers])) == "nesting_too_deep")
    }

    @Test func boundsNesting() throws {
        func nested(_ depth: Int) -> [UInt8] {
            (0..<depth).reduce(Self.tensor) { inner, _ in [0x7D] + File.text("a") + inner + [0x73] }
        }
        #expect(try refusal(File.archive(nested(200), [Self.numbers])) == nil)
        #expect(try refusal(File.archive(nested(201), [Self.numbers])) == "nesting_too_deep")
        let million = [UInt8](repeating: 0x5D, count: 1_000_000) + [UInt8](repeating: 0x61, count: 999_999)
        #expect(try refusal(File.archive(million)) == "nesting_too_deep")
        // Built from outside: the inner ones grow after they were put in.
        let step: [UInt8] = [0x5D, 0x71, 1, 0x61, 0x68, 1]
        let outside: [UInt8] = [0x5D, 0x71, 0] + Array([[UInt8]](repeating: step, count: 300).joined())
        // Forget the inner lists, and keep the first.
        let list = [0x28] + outside + [0x31, 0x68, 0]
        #expect(
            try refusal(File.archive(File.dict(["w": Self.tensor, "l": list]), [Self.numbers])) == "nesting_too_deep")
    }

    /// Forty lists of four times the next are 4^40 paths: each list is looked at once.
    @Test(.timeLimit(.minutes(1))) func boundsSharedContainers() throws {
        func shared(_ open: UInt8, _ add: [UInt8], around inner: [UInt8]) -> [UInt8] {
            var body = inner
            for _ in 0..<40 {
                // Four times the same, recalled from the memo.
                body += [0x71, 9, 0x30, open]
                for key in 0..<4 { body += (add == [0x73] ? File.text("\(key)") : []) + [0x68, 9] + add }
            }
            return body
        }
        let lists = shared(0x5D, [0x61], around: [0x5D])
        #expect(try refusal(File.archive(File.dict(["w": Self.tensor, "l": lists]), [Self.numbers])) == nil)
        let dicts = shared(0x7D, [0x73], around: [0x7D])
        #expect(try refusal(File.archive(File.dict(["w": Self.tensor, "d": dicts]), [Self.numbers])) == nil)
        let tensors = shared(0x7D, [0x73], around: Self.tensor)
        #expect(try refusal(File.archive(tensors, [Self.numbers])) == "limit_exceeded")
        #expect(
            try refusal(File.archive(shared(0x5D, [0x61], around: Self.tensor), [Self.numbers]), root: ".")
                == "limit_exceeded")
    }

    @Test func boundsDimensions() throws {
        let shape = File.ints(Array(repeating: 1, count: 65))
        let wide =
            File.global("torch._utils", "_rebuild_tensor_v2")
            + File.tuple([
                File.tuple([
                    File.text("storage"), File.global("torch", "FloatStorage"), File.text("0"), File.text("cpu"),
                    File.int(2),
                ]) + [0x51],
                File.int(0), shape, shape, [0x89], File.orderedDict,
            ]) + [0x52]
        #expect(try refusal(File.archive(File.dict(["w": wide]), [Self.numbers])) == "bad_shape")
    }

    /// Each is a pickle that ends well, so that only the budget stands against it: with its count of steps, and with few.
    static let costs: [(String, @Sendable (Int) -> [UInt8], Int)] = [
        ("values", { File.repeated([0x4E, 0x30], $0) }, 9_000_000),
        ("recalled values", { [0x4E, 0x71, 0, 0x30] + File.repeated([0x68, 0, 0x30], $0) }, 13_000_000),
        ("operations without a value", { File.repeated([0x80, 2], $0) }, 25_000_000),
        ("the memo", { [0x4E] + File.repeated([0x94], $0) + [0x30] }, 13_000_000),
        ("marks", { File.repeated([0x28], $0) + File.repeated([0x30], $0) }, 13_000_000),
        ("children", { File.repeated([0x28, 0x4E] + File.repeated([0x32], 999) + [0x74, 0x30], $0) }, 13_000),
        ("attributes", { [0x7D] + many(0x71, 1) + [0x62] + File.repeated([0x68, 1, 0x62], $0) + [0x30] }, 2_500),
        ("copies", { orderedDict + pairs + File.repeated([0x68, 7, 0x68, 8, 0x85, 0x52, 0x30], $0) }, 2_500),
        ("metadata", { many(0x71, 1) + [0x30] + views + File.repeated([0x68, 2, 0x68, 3, 0x52, 0x30], $0) }, 2_500),
        ("storages", { storage + File.repeated([0x68, 4, 0x51, 0x30], $0) }, 4_000_000),
    ]
    private static func many(_ memo: UInt8...) -> [UInt8] {
        [0x7D, 0x28] + (0..<10_000).flatMap { File.text("k\($0)") + [0x4E] } + [0x75] + memo
    }
    private static let orderedDict = File.global("collections", "OrderedDict") + [0x71, 7, 0x30]
    private static let pairs = File.list((0..<10_000).map { File.tuple([File.int($0), [0x4E]]) }) + [0x71, 8, 0x30]
    private static let storage =
        File.tuple([
            File.text("storage"), File.global("torch", "FloatStorage"), File.text("0"), File.text("cpu"), File.int(2),
        ]) + [0x71, 4, 0x30]
    private static let views =
        File.global("torch._utils", "_rebuild_tensor_v2") + [0x71, 2, 0x30] + storage
        + File.tuple([
            [0x68, 4, 0x51], File.int(0), File.ints([2]), File.ints([1]), [0x89], File.orderedDict, [0x68, 1],
        ]) + [0x71, 3, 0x30]

    @Test(.timeLimit(.minutes(1)), arguments: costs.indices) func boundsWhatAPickleAsksFor(_ place: Int) throws {
        let (name, cost, count) = Self.costs[place]
        let tensor = File.dict(["w": Self.tensor])
        #expect(try refusal(File.archive(cost(10) + tensor, [Self.numbers])) == nil, "\(name)")
        #expect(try refusal(File.archive(cost(count) + tensor, [Self.numbers])) == "limit_exceeded", "\(name)")
    }

    /// Refused by its sizes alone: the stream is none.
    @Test func boundsHowFarAPickleUnpacks() throws {
        func file(_ byteCount: Int) -> [UInt8] {
            let stream = [UInt8](repeating: 7, count: 20_000)
            let member = ZipRecord.Member(
                name: Array("a/data.pkl".utf8), method: .deflated, crc32: 1, compressedByteCount: stream.count,
                byteCount: byteCount, localHeaderOffset: 0, padding: 0)
            let local = ZipRecord.localHeader(member) + stream
            let header = ZipRecord.directoryHeader(member)
            return local + header + ZipRecord.end(entryCount: 1, directory: local.count..<local.count + header.count)
        }
        #expect(try refusal(file(1 << 24)) == "bad_deflate")
        #expect(try refusal(file(1 << 24 + 1)) == "limit_exceeded")
    }

    /// The pickles of a stream have one budget together.
    @Test func boundsThePicklesOfAStreamTogether() throws {
        let body = File.dict(["w": Self.tensor])
        let junk = File.repeated([0x4E, 0x30], 2_500_000)
        let magic: [UInt8] = [0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19]
        func stream(_ junk: [UInt8]) -> [UInt8] {
            File.pickle(magic) + File.pickle(junk + [0x4D, 0xE9, 0x03]) + File.pickle(junk + [0x7D])
                + File.pickle(junk + body) + File.pickle(junk + File.list([File.text("0")]))
                + File.little(UInt64(2)) + Self.numbers
        }
        #expect(try refusal(stream(Array(junk.prefix(1000)))) == nil)
        #expect(try refusal(stream(junk)) == "limit_exceeded")
    }

    /// A mebibyte that is a part of sixty thousand names, of which none need be made.
    @Test(.timeLimit(.minutes(1))) func makesNoLongNamesOfWhatIsPassedOver() throws {
        let long = File.text(String(repeating: "k", count: 1 << 20)) + [0x71, 1]
        let same = File.text("w") + Self.tensor + long + [0x4E] + File.repeated([0x68, 1, 0x4E], 60_000)
        #expect(try refusal(File.archive([0x7D, 0x28] + same + [0x75], [Self.numbers])) == nil)
        let below =
            [0x7D] + long + [0x7D, 0x28] + File.text("w") + Self.tensor
            + (0..<60_000).flatMap { File.int(Int32($0)) + [0x4E] } + [0x75, 0x73]
        #expect(try refusal(File.archive(below, [Self.numbers])) == nil)
        let tensors =
            [0x7D] + long + [0x7D, 0x28] + File.text("w") + Self.tensor + [0x71, 2]
            + (0..<60_000).flatMap { File.int(Int32($0)) + [0x68, 2] } + [0x75, 0x73]
        #expect(try refusal(File.archive(tensors, [Self.numbers])) == "limit_exceeded")
        let path = try folder.write(File.archive(below, [Self.numbers]), to: "long.pt")
        #expect(try TorchReader(opening: path).warnings.allSatisfy { $0.text.utf8.count < 5000 })
    }

    /// Names of classes that a TorchScript archive may hold in any number, of texts that are stored once.
    @Test(.timeLimit(.minutes(1))) func boundsTheTextsOfNames() throws {
        let module = File.text("__torch__." + String(repeating: "m", count: 1 << 20)) + [0x71, 1, 0x30]
        let names = module + File.text("M") + [0x71, 2, 0x30] + File.repeated([0x68, 1, 0x68, 2, 0x93, 0x30], 60_000)
        let file = File.zip([
            ("a/data.pkl", File.pickle(names + File.dict(["w": Self.tensor]))),
            ("a/constants.pkl", File.pickle([0x29])),
            ("a/data/0", Self.numbers),
        ])
        #expect(try refusal(file, root: ".") == "limit_exceeded")
    }

    @Test func refusesBrokenStructure() throws {
        let bodies: [[UInt8]] = [
            [], [0x30], [0x28], [0x31], [0x32], [0x74], [0x85], [0x87], [0x61], [0x65], [0x73], [0x75], [0x52], [0x62],
            [0x81],
            [0x51], [0x93], [0x68, 5], [0x6A, 0xFF, 0xFF, 0xFF, 0xFF], [0x94], [0x71, 0], [0x4E, 0x4E],
            [0x4E, 0x4E, 0x61],
            [0x7D, 0x28, 0x4E, 0x75], [0x5D, 0x28, 0x4E, 0x4E, 0x75], [0x28, 0x4E, 0x64], [0x7D, 0x5D, 0x4E, 0x73],
            [0x8A, 0xFF], [0x8B, 0xFF, 0xFF, 0xFF, 0xFF],
            [0x8D] + [UInt8](repeating: 0xFF, count: 8),
            [0x95] + [UInt8](repeating: 0x7F, count: 8),
            [0x49, 0x31, 0x0A], [0x96, 0, 0, 0, 0, 0, 0, 0, 0], [0x98], Array("cos".utf8), [0x8C, 2, 0xC3, 0x28],
        ]
        for body in bodies {
            let found = try refusal(File.archive(body))
            #expect(["bad_pickle", "bad_storage", "unsafe_pickle"].contains(found), "\(body): \(found ?? "read")")
        }
    }

    // MARK: - Damage

    static let files = ["good", "bad"].flatMap { (try? TorchConformanceTests.cases($0)) ?? [] }.map(\.path)

    /// Reads all there is to read, without and with TorchScript; an error must be one of ours.
    private func readEverything(_ path: FilePath) throws {
        for root in [nil, "."] {
            do {
                let reader = try TorchReader(opening: path, options: ReadOptions(root: root))
                _ = try reader.verify()
                for index in reader.descriptors.indices where reader.descriptors[index].byteCount < 1 << 20 {
                    _ = try reader.bytes(of: index)
                }
            } catch is FormatError {}
        }
    }

    @Test func neverReadsAFileThatIsCut() throws {
        for name in ["good/torch/dtype_bf16.pt", "good/torch/legacy_views.pt", "good/torch/protocol_4.pt"] {
            let bytes = try npyFileBytes(Fixtures.path("conformance/" + name))
            for count in 0..<bytes.count {
                let found = try refusal(Array(bytes.prefix(count)))
                #expect(found != nil, "\(name) cut at \(count)")
            }
        }
    }

    @Test(arguments: files) func survivesEveryChangedByte(_ path: FilePath) throws {
        let original = try npyFileBytes(path)
        var generator = TestGenerator(state: 7)
        // Every byte of small files, as many places of large ones.
        let places =
            original.count <= 800
            ? Array(original.indices) : (0..<800).map { _ in Int.random(in: original.indices, using: &generator) }
        for place in places {
            var bytes = original
            bytes[place] = UInt8.random(in: 0...255, using: &generator)
            try readEverything(try folder.write(bytes, to: "flipped.pt"))
        }
    }

    /// Sums keep changed pickles from the machine, so it is fed directly: changed, repeated and dropped bytes.
    @Test func survivesChangedPickles() throws {
        let tensors = File.dict([
            "w": Self.tensor, "v": File.tensor(key: "1", count: 6, shape: [2, 2], strides: [1, 3], offset: 1),
        ])
        var bodies: [[UInt8]] = [tensors]
        bodies += Self.unsafe.map { File.dict(["w": Self.tensor, "x": $0.1]) }
        var generator = TestGenerator(state: 11)
        for round in 0..<800 {
            var body = bodies[round % bodies.count]
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let place = Int.random(in: body.indices, using: &generator)
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: body.remove(at: place)
                case 1: body.insert(body[Int.random(in: body.indices, using: &generator)], at: place)
                case 2: body[place] = [0xFF, 0x7F, 0x80, 0].randomElement(using: &generator) ?? 0
                default: body[place] = UInt8.random(in: 0...255, using: &generator)
                }
            }
            try readEverything(
                try folder.write(
                    File.archive(body, [Self.numbers, File.floats([1, 2, 3, 4, 5, 6])]), to: "changed.pt"))
        }
    }
}
