import Checkpoints
import Experts
import Glibc
import Interference
import Kernels
import ModelFolders
import SystemPackage
import TensorCore
import TestSupport
import Testing
import Work
import Workflow

/// What is measured of inputs, against PyTorch in float64 (`Fixtures/statistics/reference.py`).
@Suite struct StatisticsJobTests {
    private let folder = TemporaryFolder()
    private let tiny: PipelineSuite
    private let reference: JSONValue

    init() throws {
        tiny = try PipelineSuite("tiny")
        reference = try JSONDocument.parse(contents(Fixtures.path("statistics/statistics.json")))
    }

    private var digits: FilePath { tiny.expert("digits") }

    private func job(
        _ model: FilePath, inputs: FilePath, to output: String, head: FilePath? = nil,
        classes: FisherInformation.Classes = .all, selection: TensorSelection = TensorSelection(),
        part: String? = nil, limit: Int? = nil
    ) throws -> StatisticsJob {
        let store = try TensorStore(opening: model)
        let backbone = try Backbone(of: store)
        let measure = try head.map {
            StatisticsJob.Measure.fisher(try backbone.taskHead($0, name: "head"), files: [$0], classes)
        }
        return StatisticsJob(
            store, backbone: backbone, inputs: .file(inputs), measure: measure ?? .gram, selection: selection,
            part: part.flatMap { MergePart($0) }, limit: limit, target: try .test(folder.file(output)))
    }

    private func values(_ store: TensorStore, _ name: TensorName) throws -> [Double] {
        let bytes = try #require(try store.bytes(of: name))
        let dtype = try #require(store.descriptors.first { $0.name == name }).dtype
        return bytes.withUnsafeBytes { raw in
            [Double](unsafeUninitializedCapacity: raw.count / (dtype.bitWidth / 8)) { buffer, count in
                count = raw.count / (dtype.bitWidth / 8)
                widen(raw, dtype, into: UnsafeMutableBufferPointer(rebasing: buffer[..<count]))
            }
        }
    }

    /// Compares `numbers . v` for every row of numbers, v_j = cos(j), relative to the largest.
    private func expect(
        _ numbers: [Double], width: Int, haveProducts expected: [Double], within tolerance: Double, _ name: String
    ) {
        let products = stride(from: 0, to: numbers.count, by: width).map { start in
            (0..<width).reduce(0.0) { $0 + numbers[start + $1] * cos(Double($1)) }
        }
        #expect(products.count == expected.count)
        let largest = expected.reduce(0) { max($0, abs($1)) }
        #expect(largest > 0, "\(name)")
        for (product, expected) in zip(products, expected) {
            #expect(abs(product - expected) <= tolerance * largest, "\(name)")
        }
    }

    @Test(arguments: ["vision", "text"]) func gramMatricesOfEveryLinearLayer(kind: String) throws {
        let job =
            kind == "vision"
            ? try job(digits, inputs: tiny.path("test_digits.npz"), to: "g.safetensors", limit: 70)
            : try job(
                Fixtures.path("networks/bert-mean/expert.safetensors"),
                inputs: Fixtures.path("networks/bert-mean/inputs.npz"), to: "g.safetensors")
        let outcome = try job.run(in: testContext)
        let expected = try #require(reference[kind]?.object).map { ($0.key, $0.value) }
        let store = try TensorStore(opening: folder.file("g.safetensors"))
        #expect(outcome.tensorCount == expected.count && outcome.kind == .gram)
        #expect(Set(store.descriptors.map(\.name.text)) == Set(expected.map(\.0)))
        for (key, figures) in expected {
            let descriptor = try #require(store.descriptors.first { $0.name.text == key })
            let width = descriptor.shape.dims[0]
            #expect(descriptor.dtype == .f64 && descriptor.shape.dims == [width, width])
            #expect(store.metadata["rows.\(key)"] == figures["rows"]?.int.map { "\($0)" })
            let numbers = try values(store, descriptor.name)
            for row in 0..<width {
                for column in 0..<row { #expect(numbers[row * width + column] == numbers[column * width + row]) }
            }
            let trace = (0..<width).reduce(0.0) { $0 + numbers[$1 * (width + 1)] }
            let wanted = try #require(figures["trace"]?.double)
            #expect(abs(trace - wanted) <= 2e-6 * wanted, "\(key)")
            expect(
                numbers, width: width, haveProducts: figures["product"]?.array?.compactMap(\.double) ?? [],
                within: 5e-6, key)
        }
    }

    @Test func squaredGradientsOfEveryParameter() throws {
        let outcome = try job(
            digits, inputs: tiny.path("test_digits.npz"), to: "f.safetensors",
            head: tiny.path("heads_digits.safetensors"),
            limit: 9
        ).run(in: testContext)
        let expected = try #require(reference["fisher"]?.object).map { ($0.key, $0.value) }
        let store = try TensorStore(opening: folder.file("f.safetensors"))
        let original = try TensorStore(opening: digits)
        #expect(outcome.tensorCount == expected.count && outcome.inputCount == 9 && outcome.kind == .fisher)
        #expect(Set(store.descriptors) == Set(original.descriptors))
        for (key, figures) in expected {
            let numbers = try values(store, TensorName(key))
            let sum = numbers.reduce(0, +)
            let wanted = try #require(figures["sum"]?.double)
            // All entries are positive: their sum is what differences are small against.
            #expect(abs(sum - wanted) <= 1e-5 * wanted, "\(key)")
            let product = numbers.enumerated().reduce(0.0) { $0 + $1.element * cos(Double($1.offset)) }
            #expect(abs(product - (figures["product"]?.double ?? .nan)) <= 1e-5 * wanted, "\(key)")
        }
    }

    /// On average a drawn class is all classes: over many inputs the sums come near. Under another head many classes are likely.
    @Test func drawnClassesAreNearAllClasses() throws {
        func sum(_ classes: FisherInformation.Classes, _ output: String) throws -> Double {
            _ = try job(
                digits, inputs: tiny.path("test_digits.npz"), to: output,
                head: tiny.path("heads_latin_lower.safetensors"), classes: classes,
                selection: TensorSelection(only: ["norm.weight"]), limit: 250
            ).run(in: testContext)
            return try values(try TensorStore(opening: folder.file(output)), "norm.weight").reduce(0, +)
        }
        let all = try sum(.all, "all.safetensors")
        let drawn = try sum(.drawn(seed: 3), "drawn.safetensors")
        #expect(all > 0 && drawn != all)
        #expect(abs(drawn / all - 1) < 0.3)
        _ = try sum(.drawn(seed: 3), "again.safetensors")
        #expect(try contents(folder.file("again.safetensors")) == contents(folder.file("drawn.safetensors")))
        #expect(try sum(.drawn(seed: 4), "other.safetensors") != drawn)
    }

    @Test(arguments: [nil, "heads_digits.safetensors"]) func threadsChangeNothing(head: String?) throws {
        for threads in [1, 2, 5] {
            _ = try job(
                digits, inputs: tiny.path("test_digits.npz"), to: "\(threads).safetensors", head: head.map(tiny.path),
                limit: 40
            ).run(in: Context(budget: ComputeBudget(threads: threads)))
        }
        #expect(try contents(folder.file("1.safetensors")) == contents(folder.file("2.safetensors")))
        #expect(try contents(folder.file("1.safetensors")) == contents(folder.file("5.safetensors")))
    }

    @Test(arguments: [nil, "heads_digits.safetensors"]) func partsJoinToTheWhole(head: String?) throws {
        let data = tiny.path("test_digits.npz")
        func measure(_ output: String, part: String?) throws {
            _ = try job(digits, inputs: data, to: output, head: head.map(tiny.path), part: part, limit: 50)
                .run(in: testContext)
        }
        try measure("whole.safetensors", part: nil)
        // Parts of 16, 17 and 17 inputs.
        for part in 1...3 { try measure("p\(part).safetensors", part: "\(part)/3") }
        let parts = try (1...3).map { try TensorStore(opening: folder.file("p\($0).safetensors")) }
        let outcome = try StatisticsJoin(parts, target: .test(folder.file("joined.safetensors"))).run(in: testContext)
        #expect(outcome.inputCount == 50)
        let whole = try TensorStore(opening: folder.file("whole.safetensors"))
        let joined = try TensorStore(opening: folder.file("joined.safetensors"))
        #expect(joined.descriptors == whole.descriptors && joined.metadata["inputs"] == "50")
        for tensor in whole.descriptors {
            #expect(joined.metadata["rows.\(tensor.name)"] == whole.metadata["rows.\(tensor.name)"])
            let (a, b) = (try values(joined, tensor.name), try values(whole, tensor.name))
            let largest = b.reduce(0) { max($0, abs($1)) }
            // Sums in F32 within a batch of inputs are cut elsewhere.
            #expect(zip(a, b).allSatisfy { abs($0 - $1) <= 1e-6 * largest }, "\(tensor.name)")
        }
    }

    @Test func joinsOnlyWhatBelongsTogether() throws {
        let data = tiny.path("test_digits.npz")
        func file(
            _ name: String, _ model: FilePath, head: String? = nil, only: [String] = [], part: String? = "1/2",
            limit: Int = 8
        ) throws -> TensorStore {
            _ = try job(
                model, inputs: data, to: name, head: head.map(tiny.path), selection: TensorSelection(only: only),
                part: part, limit: limit
            ).run(in: testContext)
            return try TensorStore(opening: folder.file(name))
        }
        func join(_ stores: [TensorStore]) -> String? {
            code {
                _ = try StatisticsJoin(stores, target: try .test(folder.file("j.safetensors"))).run(in: testContext)
            }
        }
        let first = try file("a.safetensors", digits)
        #expect(join([first, first]) == "input.bad_value")
        #expect(join([first, try file("b.safetensors", tiny.expert("latin_lower"), part: "2/2")]) == "input.bad_value")
        #expect(
            join([first, try file("c.safetensors", digits, head: "heads_digits.safetensors", part: "2/2")])
                == "input.bad_value")
        #expect(join([first, try file("d.safetensors", digits, only: ["*qkv*"], part: "2/2")]) == "input.bad_shape")
        #expect(join([first, try TensorStore(opening: digits)]) == "input.bad_value")
        #expect(!fileExists(folder.file("j.safetensors")))
        // The whole has the inputs of its parts, and parts of another cut may have.
        let whole = try file("e.safetensors", digits, part: nil)
        #expect(join([first, whole]) == "input.bad_value" && join([whole, whole]) == "input.bad_value")
        #expect(join([first, try file("f.safetensors", digits, part: "2/3")]) == "input.bad_value")
        // So do the first inputs of a set, however many another run has taken of it.
        let few = try file("h.safetensors", digits, part: nil, limit: 4)
        #expect(join([first, few]) == "input.bad_value" && join([few, whole]) == "input.bad_value")
        let second = try file("g.safetensors", digits, part: "2/2")
        #expect(second.metadata.entries.contains { $0.value == "4:8 of 8" })
        #expect(join([few, second]) == nil)
        // A joined file knows what is in it.
        let joined = try TensorStore(opening: folder.file("j.safetensors"))
        #expect(joined.metadata.entries.contains { $0.value == "0:8 of 8" })
        func joinsAgain(_ store: TensorStore) -> String? {
            code {
                _ = try StatisticsJoin([joined, store], target: try .test(folder.file("k.safetensors")))
                    .run(in: testContext)
            }
        }
        #expect(joinsAgain(second) == "input.bad_value" && joinsAgain(few) == "input.bad_value")
    }

    /// Parts of one number are no harm where they are of different data.
    @Test func joinsDifferentData() throws {
        let stores = try ["digits", "latin_lower"].map { task in
            _ = try job(digits, inputs: tiny.path("test_\(task).npz"), to: "\(task).safetensors", part: "1/2", limit: 8)
                .run(in: testContext)
            return try TensorStore(opening: folder.file("\(task).safetensors"))
        }
        let outcome = try StatisticsJoin(stores, target: .test(folder.file("j.safetensors"))).run(in: testContext)
        #expect(outcome.inputCount == 8)
    }
}
