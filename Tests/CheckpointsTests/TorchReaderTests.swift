import Checkpoints
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// What is made of a file's tensors: their names, their order, views, and what there is besides them.
@Suite struct TorchReaderTests {
    private let folder = TemporaryFolder()
    private typealias File = TorchTestFile

    private func open(_ bytes: [UInt8], root: String? = nil, options: ReadOptions? = nil) throws -> TorchReader {
        let path = try folder.write(bytes, to: "model.pt")
        return try TorchReader(opening: path, options: options ?? ReadOptions(root: root))
    }

    private func floats(_ reader: TorchReader, _ name: TensorName) throws -> [Float] {
        let index = try #require(reader.descriptors.firstIndex { $0.name == name })
        return try reader.bytes(of: index).withUnsafeBytes { bytes in
            (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        }
    }

    private static let numbers: [Float] = (0..<24).map { Float($0) }
    private static func tensor(_ shape: [Int], _ strides: [Int], offset: Int = 0) -> [UInt8] {
        TorchTestFile.tensor(count: 24, shape: shape, strides: strides, offset: offset)
    }

    // MARK: - Views

    @Test func gathersViewsInRowMajorOrder() throws {
        let reader = try open(
            File.archive(
                File.dict([
                    "whole": Self.tensor([4, 6], [6, 1]), "transposed": Self.tensor([6, 4], [1, 6]),
                    "columns": Self.tensor([4, 2], [6, 1], offset: 3), "every": Self.tensor([3], [8], offset: 1),
                    "permuted": Self.tensor([3, 2, 4], [4, 12, 1]), "repeated": Self.tensor([2, 3], [0, 1]),
                    "ones": Self.tensor([1, 6, 1], [99, 1, 77], offset: 18),
                ]), [File.floats(Self.numbers)]))
        func expected(_ shape: [Int], _ place: ([Int]) -> Int) -> [Float] {
            var values: [Float] = []
            for i in 0..<shape[0] {
                for j in 0..<shape[1] { for k in 0..<shape[2] { values.append(Float(place([i, j, k]))) } }
            }
            return values
        }
        #expect(try floats(reader, "whole") == Self.numbers)
        #expect(try floats(reader, "transposed") == expected([6, 4, 1]) { $0[0] + 6 * $0[1] })
        #expect(try floats(reader, "columns") == [3, 4, 9, 10, 15, 16, 21, 22])
        #expect(try floats(reader, "every") == [1, 9, 17])
        #expect(try floats(reader, "permuted") == expected([3, 2, 4]) { 4 * $0[0] + 12 * $0[1] + $0[2] })
        #expect(try floats(reader, "repeated") == [0, 1, 2, 0, 1, 2])
        #expect(try floats(reader, "ones") == [18, 19, 20, 21, 22, 23])
        #expect(
            reader.descriptors.indices.filter(reader.isMapped).map { reader.descriptors[$0].name } == ["whole", "ones"])
    }

    @Test func swapsBigEndianNumbers() throws {
        let bytes = File.archive(
            File.dict(["w": File.tensor(count: 3, shape: [3], strides: [1])]),
            [[1.5, -2, 3].flatMap { (value: Float) in Array(File.little(value.bitPattern).reversed()) }], order: "big")
        #expect(try floats(open(bytes), "w") == [1.5, -2, 3])
    }

    /// A conjugated view has the imaginary parts with the other sign, a negated one all numbers, in whatever order they lie.
    @Test func changesTheSignsOfConjugatedAndNegatedViews() throws {
        let conj = File.dict(["conj": [0x88]])
        let neg = File.dict(["neg": [0x88]])
        let both = File.dict(["conj": [0x88], "neg": [0x88], "device": File.text("x")])
        func complex(_ shape: [Int], _ strides: [Int], offset: Int = 0, _ metadata: [UInt8]?) -> [UInt8] {
            File.tensor(
                "ComplexFloatStorage", count: 4, shape: shape, strides: strides, offset: offset, metadata: metadata)
        }
        func real(_ metadata: [UInt8]) -> [UInt8] {
            File.tensor("DoubleStorage", key: "1", count: 3, shape: [2], strides: [2], metadata: metadata)
        }
        let numbers = File.floats([1, 2, 3, -4, 0, 5, -1, 0])
        let doubles = [1.5, 7, -2].flatMap { File.little($0.bitPattern) }
        let body = File.dict([
            "plain": complex([4], [1], [0x7D]), "conj": complex([2, 2], [2, 1], conj),
            "mH": complex([2, 2], [1, 2], conj),
            "row": complex([2], [2], offset: 1, conj), "neg": complex([4], [1], neg), "both": complex([4], [1], both),
            "imag": real(neg),
        ])
        for order in ["little", "big"] {
            func stored(_ bytes: [UInt8], _ width: Int) -> [UInt8] {
                guard order == "big" else { return bytes }
                return stride(from: 0, to: bytes.count, by: width).flatMap { bytes[$0..<$0 + width].reversed() }
            }
            let reader = try open(File.archive(body, [stored(numbers, 4), stored(doubles, 8)], order: order))
            #expect(try floats(reader, "plain") == [1, 2, 3, -4, 0, 5, -1, 0])
            #expect(try floats(reader, "conj") == [1, -2, 3, 4, 0, -5, -1, -0.0])
            #expect(try floats(reader, "mH") == [1, -2, 0, -5, 3, 4, -1, -0.0])
            #expect(try floats(reader, "row") == [3, 4, -1, -0.0])
            #expect(try floats(reader, "neg") == [-1, -2, -3, 4, -0.0, -5, 1, -0.0])
            #expect(try floats(reader, "both") == [-1, 2, -3, -4, -0.0, 5, 1, 0])
            let imag = try #require(reader.descriptors.firstIndex { $0.name == "imag" })
            #expect(
                try reader.bytes(of: imag).withUnsafeBytes { Array($0) }
                    == [-1.5, 2].flatMap { (value: Double) in File.little(value.bitPattern) })
            // A part that begins and ends inside of numbers.
            var part = [UInt8](repeating: 0, count: 8)
            try part.withUnsafeMutableBytes { try reader.read(5..<13, of: imag, into: $0) }
            #expect(try reader.bytes(of: imag).withUnsafeBytes { part.elementsEqual($0[5..<13]) })
            #expect(!reader.isMapped(try #require(reader.descriptors.firstIndex { $0.name == "conj" })))
            // The same numbers, but not the same tensors.
            #expect(reader.sharedTensors.map(\.areEqual) == [false])
        }
        for (type, metadata) in [
            ("LongStorage", neg), ("FloatStorage", conj), ("FloatStorage", both), ("BoolStorage", neg),
        ] {
            let bytes = File.archive(
                File.dict(["w": File.tensor(type, count: 1, shape: [1], strides: [1], metadata: metadata)]),
                [[UInt8](repeating: 0, count: type == "LongStorage" ? 8 : type == "FloatStorage" ? 4 : 1)])
            #expect(npyRefusal { _ = try open(bytes) } == "unsupported_object", "\(type)")
        }
        let list = File.tensor(count: 24, shape: [1], strides: [1], metadata: [0x5D])
        #expect(
            npyRefusal { _ = try open(File.archive(File.dict(["w": list]), [File.floats(Self.numbers)])) }
                == "bad_pickle")
    }

    /// Seeds and the states of random generators.
    @Test func passesOverNumbersBeyond64Bits() throws {
        let seed: [UInt8] = [0x8A, 9, 0xFD, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0]
        let large = [0x8B] + File.little(UInt32(300)) + [UInt8](repeating: 7, count: 300)
        let body = File.dict(["w": Self.tensor([24], [1]), "seed": seed, "state": large])
        let reader = try open(File.archive(body, [File.floats(Self.numbers)]))
        #expect(reader.descriptors.map(\.name) == ["w"])
        #expect(reader.warnings.first?.text.contains("\"seed\" (a number), \"state\" (a number)") == true)
        let shape = File.global("torch._utils", "_rebuild_tensor_v2")
        let storage =
            File.tuple([
                File.text("storage"), File.global("torch", "FloatStorage"), File.text("0"), File.text("cpu"),
                File.int(24),
            ]) + [0x51]
        let wide =
            shape + File.tuple([storage, File.int(0), File.tuple([seed]), File.ints([1]), [0x89], [0x7D]]) + [0x52]
        #expect(
            npyRefusal { _ = try open(File.archive(File.dict(["w": wide]), [File.floats(Self.numbers)])) }
                == "bad_shape")
    }

    @Test func tellsOfTensorsThatShareNumbers() throws {
        let tied = Self.tensor([4, 6], [6, 1])
        let reader = try open(
            File.archive(
                File.dict([
                    "embed": tied, "head": tied, "half": Self.tensor([12], [1]),
                    "own": File.tensor(key: "1", count: 2, shape: [2], strides: [1]),
                    "low": File.tensor(key: "2", count: 4, shape: [2], strides: [1]),
                    "high": File.tensor(key: "2", count: 4, shape: [2], strides: [1], offset: 2),
                ]), [File.floats(Self.numbers), File.floats([1, 2]), File.floats([1, 2, 3, 4])]))
        #expect(reader.sharedTensors.map(\.names) == [["embed", "head", "half"]])
        #expect(reader.sharedTensors.map(\.areEqual) == [false])
        #expect(reader.warnings.map(\.code) == ["format.shared_storage"])
        #expect(try floats(reader, "head") == floats(reader, "embed"))
    }

    /// 2^40 numbers of 16 bytes would fill a disk; a hundred tensors of a gibibyte would as well.
    @Test func refusesViewsThatTakeFarMoreThanTheFile() throws {
        let wide = File.tensor(count: 1, shape: [1 << 14, 1 << 14], strides: [0, 0])
        let one = try open(File.archive(File.dict(["a": wide]), [File.floats([1])]))
        #expect(one.descriptors[0].byteCount == 1 << 30)
        let bytes = File.archive(File.dict(["a": wide, "b": wide]), [File.floats([1])])
        #expect(npyRefusal { _ = try open(bytes) } == "limit_exceeded")
    }

    // MARK: - Names

    private static let checkpoint: [UInt8] = File.archive(
        File.dict([
            "model": File.dict(["a.weight": tensor([24], [1]), "sub": File.dict(["b": tensor([2], [1])])]),
            "optimizer": File.dict([
                "state": [0x7D] + File.int(0) + File.dict(["exp_avg": tensor([3], [1]), "step": File.int(5)]) + [0x73],
                "groups": File.list([File.dict(["lr": [0x47, 0x3F, 0xF0, 0, 0, 0, 0, 0, 0]])]),
            ]),
            "averages": File.list([tensor([4], [1]), tensor([5], [1])]), "epoch": File.int(3),
        ]), [File.floats(numbers)])

    @Test func namesNestedTensorsByDots() throws {
        let reader = try open(Self.checkpoint)
        #expect(reader.descriptors.map(\.name) == ["model.a.weight", "model.sub.b", "optimizer.state.0.exp_avg"])
        // What is no tensor, and the list of tensors, is told of once.
        let passed = try #require(reader.warnings.first { $0.code == "format.passed_over" })
        for text in [
            "4 values", "\"optimizer.state.0.step\" (a number)", "\"averages\" (a list with 2 tensors)", "\"epoch\"",
        ] {
            #expect(passed.text.contains(text), "\(passed.text)")
        }
    }

    @Test func readsOnePartUnderItsOwnNames() throws {
        #expect(try open(Self.checkpoint, root: "model").descriptors.map(\.name) == ["a.weight", "sub.b"])
        #expect(try open(Self.checkpoint, root: "model.sub").descriptors.map(\.name) == ["b"])
        #expect(try open(Self.checkpoint, root: "optimizer.state").descriptors.map(\.name) == ["0.exp_avg"])
        #expect(try open(Self.checkpoint, root: "averages").descriptors.map(\.name) == ["0", "1"])
        #expect(try open(Self.checkpoint, root: ".").descriptors.count == 5)
    }

    @Test func saysWhatThereIsInsteadOfAWrongPart() throws {
        let error = try #require(throws: FormatError.self) { try open(Self.checkpoint, root: "modle") }
        #expect(error.category == .notAStateDict)
        #expect(error.message.contains("modle"))
        #expect(error.hint == "there is: model, optimizer, averages")
        #expect(
            error.details?.rows == [
                ["model", "a dictionary", "2"], ["optimizer", "a dictionary", "1"], ["averages", "a list", "2"],
                ["epoch", "a number", "0"],
            ])
        #expect(npyRefusal { _ = try open(Self.checkpoint, root: "epoch") } == "not_a_state_dict")
        #expect(npyRefusal { _ = try open(Self.checkpoint, root: "model.sub.c") } == "not_a_state_dict")
    }

    @Test func pointsOutThePartsOfAFile() throws {
        let bytes = File.archive(
            File.dict(["model": File.dict(["w": Self.tensor([24], [1])]), "epoch": File.int(3)]),
            [File.floats(Self.numbers)])
        let warning = try #require(try open(bytes).warnings.first { $0.code == "format.nested_tensors" })
        #expect(warning.text.contains("`--root model`"))
        #expect(try !open(bytes, root: "model").warnings.contains { $0.code == "format.nested_tensors" })
    }

    @Test func refusesTwoTensorsOfOneName() throws {
        let bytes = File.archive(
            File.dict(["a.b": Self.tensor([24], [1]), "a": File.dict(["b": Self.tensor([2], [1])])]),
            [File.floats(Self.numbers)])
        let error = try #require(throws: FormatError.self) { try open(bytes) }
        #expect(error.category == .duplicateKey)
        // Where the second is made.
        let offset = Int(try #require(error.byteOffset))
        #expect(bytes[offset] == 0x52)
        let call = Array(Self.tensor([2], [1]))
        #expect(bytes[(offset + 1 - call.count)...].starts(with: call))
    }

    // MARK: - Storages

    /// Keys are numbers. As texts, two names of records may be the same to Unicode and not the same to the archive.
    @Test func findsStoragesByNumbersAlone() throws {
        let one = File.floats([1])
        func archive(_ key: String, _ members: [String]) -> [UInt8] {
            let body = File.dict(["x": File.tensor(key: key, count: 1, shape: [1], strides: [1])])
            return File.zip(
                [("a/data.pkl", File.pickle(body))] + members.map { ("a/data/\($0)", one) })
        }
        #expect(try floats(open(archive("7", ["7", "\u{E9}", "e\u{301}", "07"])), "x") == [1])
        for key in ["\u{E9}", "e\u{301}", "07", "-1", "+1", "1.storage", "18446744073709551616"] {
            #expect(npyRefusal { _ = try open(archive(key, [key])) } == "bad_storage", "\(key)")
        }
        #expect(try floats(open(archive("18446744073709551615", ["18446744073709551615"])), "x") == [1])
        #expect(npyRefusal { _ = try open(archive("7", ["07"])) } == "bad_storage")
    }

    /// Appended bytes are no cut download, and cost no tensor.
    @Test func salvagesAnArchiveWithoutWhatFollowsIt() throws {
        let whole = File.archive(File.dict(["w": Self.tensor([24], [1])]), [File.floats(Self.numbers)])
        let bytes = whole + [0x50, 0x4B, 5, 6] + [UInt8](repeating: 9, count: 300)
        let error = try #require(throws: FormatError.self) { try open(bytes) }
        #expect(error.category == .trailingBytes)
        #expect(error.byteOffset == UInt64(whole.count))
        #expect(error.hint?.contains("--salvage") == true)
        let reader = try open(bytes, options: ReadOptions(salvaging: true))
        #expect(try floats(reader, "w") == Self.numbers)
        let damage = try reader.verify().damage
        #expect(damage.map(\.tensor) == [nil])
        #expect(damage.map(\.offset) == [whole.count])
        #expect(damage.map(\.byteCount) == [304])
        // One that is cut is none that something follows.
        #expect(npyRefusal { _ = try open(Array(whole.dropLast(9))) } == "zip_structure")
    }

    // MARK: - Legacy files

    @Test func walksOverTheStoragesOfALegacyFile() throws {
        // The second is a view of a part of its storage, as versions before 0.4 wrote them.
        let part = File.tuple([File.text("view"), File.int(2), File.int(3)])
        let body = File.dict([
            "a": File.tensor(key: "94", count: 2, shape: [2], strides: [1], part: [0x4E]),
            "b": File.tensor(key: "17", count: 6, shape: [2], strides: [1], offset: 1, part: part),
        ])
        let storages = [
            (key: "17", count: 6, bytes: File.floats([0, 1, 2, 3, 4, 5])),
            (key: "94", count: 2, bytes: File.floats([7, 8])),
        ]
        let reader = try open(File.stream(body, storages))
        #expect(try floats(reader, "a") == [7, 8])
        #expect(try floats(reader, "b") == [3, 4])
        #expect(reader.warnings.isEmpty)
        #expect(try reader.verify().damage.isEmpty)

        let longer = try open(File.stream(body, storages) + [0, 0, 0])
        #expect(longer.warnings.map(\.code) == ["format.passed_over"])
        // Of a file that is cut short what is there can be salvaged.
        let cut = Array(File.stream(body, storages).dropLast(3))
        #expect(npyRefusal { _ = try open(cut) } == "truncated")
        let salvaged = try open(cut, options: ReadOptions(salvaging: true))
        #expect(salvaged.descriptors.map(\.name) == ["b"])
        #expect(try salvaged.verify().damage.map(\.tensor) == ["a"])
    }

    /// A record that is cut bounds nothing: neither its count nor the strides over it.
    @Test(
        arguments: [
            ([2, 3], [0, 1 << 62 - 1], 0), ([3, 2], [1 << 62 - 1, 1], 0), ([2, 2], [1 << 62, 1], 5),
            ([1, 1], [Int.max, Int.max], 0), ([1 << 31, 1 << 31], [0, 0], 0), ([1 << 62], [1], 0),
            ([5, 5], [1 << 60, 1 << 60 - 1], 7),
        ] as [([Int], [Int], Int)])
    func salvagesNothingOfAnImpossibleView(_ shape: [Int], _ strides: [Int], _ offset: Int) throws {
        let tensor = File.global("torch._utils", "_rebuild_tensor_v2")
        let count: [UInt8] = [0x8A, 8] + File.little(Int64.max)
        let storage =
            File.tuple([
                File.text("storage"), File.global("torch", "ByteStorage"), File.text("0"), File.text("cpu"), count,
            ])
            + [0x51]
        let body = File.dict([
            "w": tensor
                + File.tuple([storage, File.int(Int32(offset)), File.ints(shape), File.ints(strides), [0x89], [0x7D]])
                + [0x52]
        ])
        let bytes = File.stream(body, [(key: "0", count: .max, bytes: [1, 2, 3])])
        let refusal = npyRefusal { _ = try open(bytes, options: ReadOptions(salvaging: true)) }
        #expect(
            refusal == nil || refusal == "out_of_bounds_view" || refusal == "overflow" || refusal == "limit_exceeded")
    }

    @Test func refusesAListOfStoragesThatDoesNotFit() throws {
        let body = File.dict(["a": File.tensor(key: "94", count: 2, shape: [2], strides: [1])])
        let right = (key: "94", count: 2, bytes: File.floats([7, 8]))
        #expect(npyRefusal { _ = try open(File.stream(body, [])) } == "bad_storage")
        #expect(npyRefusal { _ = try open(File.stream(body, [right, right])) } == "bad_storage")
        #expect(
            npyRefusal { _ = try open(File.stream(body, [right, (key: "5", count: 0, bytes: [])])) } == "bad_storage")
        #expect(
            npyRefusal { _ = try open(File.stream(body, [(key: "94", count: 3, bytes: File.floats([7, 8, 9]))])) }
                == "bad_storage")
        #expect(npyRefusal { _ = try open(File.stream(body, [(key: "94", count: 1 << 62, bytes: [])])) } == "overflow")
    }

    // MARK: - Selection

    @Test func whatIsLeftOutLocksNothing() throws {
        let sparse = File.global("torch._utils", "_rebuild_sparse_tensor") + [0x29, 0x52]
        let bytes = File.archive(
            File.dict(["s": sparse, "w": Self.tensor([24], [1]), "v": Self.tensor([25], [1])]),
            [File.floats(Self.numbers)])
        #expect(npyRefusal { _ = try open(bytes) } == "unsupported_object")
        let without = ReadOptions(selection: TensorSelection(exclude: ["s"]))
        #expect(npyRefusal { _ = try open(bytes, options: without) } == "out_of_bounds_view")
        let reader = try open(bytes, options: ReadOptions(selection: TensorSelection(only: ["w"])))
        #expect(reader.descriptors.map(\.name) == ["w"])
        #expect(reader.unreadable.map(\.name) == ["s", "v"])
    }

    /// `set_crc32_options(False)` leaves all of them zero. One that is wrong is damage all the same.
    @Test func readsAnArchiveWithoutChecksums() throws {
        var bytes = File.archive(File.dict(["w": Self.tensor([24], [1])]), [File.floats(Self.numbers)])
        func clear(_ signature: [UInt8], at offset: Int, count: Int) {
            var cleared = 0
            for place in 0..<bytes.count - 4 where bytes[place..<place + 4].elementsEqual(signature) && cleared < count
            {
                bytes.replaceSubrange(place + offset..<place + offset + 4, with: [0, 0, 0, 0])
                cleared += 1
            }
        }
        clear([0x50, 0x4B, 1, 2], at: 16, count: 1)
        clear([0x50, 0x4B, 3, 4], at: 14, count: 1)
        #expect(npyRefusal { _ = try open(bytes) } == "bad_crc")
        clear([0x50, 0x4B, 1, 2], at: 16, count: 2)
        clear([0x50, 0x4B, 3, 4], at: 14, count: 2)
        let reader = try open(bytes)
        #expect(try floats(reader, "w") == Self.numbers)
        #expect(reader.warnings.map(\.code) == ["format.no_checksums"])
        #expect(try reader.verify().checkedByteCount == bytes.count)
    }

    @Test func findsDamagedRecords() throws {
        let tensors = File.dict(["w": Self.tensor([24], [1]), "v": Self.tensor([2], [1], offset: 20)])
        var bytes = File.archive(tensors, [File.floats(Self.numbers)])
        let sound = try open(bytes)
        bytes[sound.location(of: 0).range.lowerBound + 5] ^= 1
        let reader = try open(bytes)
        #expect(npyRefusal { _ = try reader.bytes(of: 1) } == "bad_crc")
        #expect(try reader.verify().damage.map(\.tensor) == ["w", "v"])
    }
}
