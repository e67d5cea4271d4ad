import Checkpoints
import Experts
import Glibc
import Interference
import Kernels
import Networks
import SystemPackage
import TensorCore
import TestSupport
import Testing
import Work

/// Folders and archives of pictures as data, against the same pixels in an array.
@Suite struct PictureDataTests {
    private let folder = TemporaryFolder()
    private let suite: PipelineSuite
    private let backbone: Backbone
    /// The first pictures of the suite's test digits, 28 x 28, and their classes.
    private let pictures: [[UInt8]]
    private let labels: [Int]

    init() throws {
        suite = try PipelineSuite("tiny")
        backbone = try Backbone(of: TensorStore(opening: suite.base))
        let store = try TensorStore(opening: suite.path("test_digits.npz"))
        let bytes = try #require(try store.bytes(of: "images"))
        pictures = bytes.withUnsafeBytes { raw in (0..<12).map { Array(raw[$0 * 784..<($0 + 1) * 784]) } }
        labels = Array(try SuiteFixture("tiny").labels("test_digits.npz").prefix(12))
    }

    private func png(_ number: Int) -> [UInt8] {
        PictureFile.png(width: 28, height: 28, grey: pictures[number])
    }

    private func data(_ name: String, _ options: DataOptions = DataOptions(), limit: Int? = nil) throws -> DataFile {
        var backbone = backbone
        backbone.data = options
        return try DataFile(folder.file(name), for: backbone, limit: limit, in: testContext)
    }

    private func values(_ inputs: InputSet) throws -> [Float] {
        guard case .images(let images) = try inputs.loaded(Array(0..<inputs.count)).inputs else { return [] }
        return images.values
    }

    /// The pixels of pictures as the suite's configuration normalises them: an array with the same.
    private func expected(_ numbers: [Int]) throws -> [Float] {
        let path = try folder.checkpoint(
            "expected.npz",
            [TestTensor("images", .u8, [numbers.count, 1, 28, 28], numbers.flatMap { pictures[$0] })])
        return try values(DataFile(path, for: backbone, in: testContext).inputs)
    }

    @Test func folderIsReadInTheOrderOfItsNumbers() throws {
        try folder.makeFolder("flat")
        for number in 0..<12 { _ = try folder.write(png(number), to: "flat/\(number).png") }
        _ = try folder.write(Array("no picture".utf8), to: "flat/notes.txt")
        let found = try data("flat")
        #expect(found.inputs.count == 12 && found.labels == nil && found.warnings.isEmpty)
        #expect(try values(found.inputs) == expected(Array(0..<12)))
        #expect(try values(data("flat", limit: 5).inputs) == expected(Array(0..<5)))
    }

    @Test func foldersAreClasses() throws {
        for (name, number) in [
            ("b/x.png", 1), ("b/y.PNG", 2), ("a/deep/z.png", 3), ("c/.hidden.png", 4), ("c/w.png", 5),
        ] {
            try makeFolder(folder.file("classes/\(FilePath(name).removingLastComponent())"))
            _ = try folder.write(png(number), to: "classes/\(name)")
        }
        let found = try data("classes")
        #expect(found.labels == .texts(["a", "b", "b", "c"]))
        #expect(found.labels?.numbers(classCount: 3) == [0, 1, 1, 2] && found.labels?.numbers(classCount: 4) == nil)
        #expect(try values(found.inputs) == expected([3, 1, 2, 5]))
        #expect(try data("classes", limit: 2).warnings.map(\.code) == ["input.first_pictures"])
    }

    @Test func aClassWhosePicturesAreSkippedKeepsItsNumber() throws {
        for name in ["a", "b", "c"] { try makeFolder(folder.file("some/\(name)")) }
        for name in ["a", "c"] { _ = try folder.write(png(0), to: "some/\(name)/x.png") }
        _ = try folder.write(Array(png(1).prefix(60)), to: "some/b/x.png")
        #expect(try data("some", DataOptions(skipsBad: true)).labels?.numbers(classCount: 3) == [0, 2])
    }

    @Test func namesThatAreNumbersOfClassesAreTheClasses() {
        #expect(ClassLabels.texts(["2", "10", "0"]).numbers(classCount: 11) == [2, 10, 0])
        // No class 10 of ten: the names in the order of their bytes, as torchvision has them.
        #expect(ClassLabels.texts(["1", "10", "2"]).numbers(classCount: 3) == [0, 1, 2])
        #expect(ClassLabels.texts(["x", "y"]).numbers(classCount: 10) == nil)
    }

    @Test func archivesAreReadWithTheirClasses() throws {
        let members = (0..<12).flatMap { number -> [(name: String, bytes: [UInt8], kind: Character)] in
            [
                ("s\(number).png", png(number), "0"), ("s\(number).cls", Array("\(labels[number])\n".utf8), "0"),
                ("s\(number).json", Array("{}".utf8), "0"),
            ]
        }
        _ = try folder.write(PictureFile.tar(members), to: "shard")
        let found = try data("shard")
        #expect(found.labels?.numbers(classCount: 10) == labels)
        #expect(try values(found.inputs) == expected(Array(0..<12)))
        // Shards of a folder follow each other.
        try folder.makeFolder("shards")
        _ = try folder.write(PictureFile.tar(Array(members[..<18])), to: "shards/1.tar")
        _ = try folder.write(PictureFile.tar(Array(members[18...])), to: "shards/2.tar")
        #expect(try values(data("shards").inputs) == expected(Array(0..<12)))
        _ = try folder.write(PictureFile.tar(Array(members[..<4])), to: "half.tar")
        #expect(code { _ = try data("half.tar") } == "input.bad_archive")
    }

    @Test func membersThatAreNoPicturesOfADataSetAreRefused() throws {
        for (name, kind, reason) in [
            ("../x.png", "0", "has a name that leads out of the archive"),
            ("/x.png", "0", "has a name that begins at the root"), ("l.png", "1", "is a link"),
            ("l.png", "2", "is a link"),
        ] as [(String, Character, String)] {
            _ = try folder.write(
                PictureFile.tar([("a.png", png(0), "0"), (name, kind == "0" ? png(1) : [], kind)]), to: "odd.tar")
            let error = try #require(throws: InputError.self) { _ = try data("odd.tar") }
            #expect(error.code == "input.bad_archive" && error.message.hasSuffix(reason), "\(error.message)")
            let skipped = try data("odd.tar", DataOptions(skipsBad: true))
            #expect(try values(skipped.inputs) == expected([0]))
            #expect(skipped.warnings.map(\.code) == ["input.skipped"])
        }
    }

    @Test func damagedArchivesSayWhere() throws {
        let whole = PictureFile.tar([("a.png", png(0), "0")])
        _ = try folder.write(Array(whole.prefix(900)), to: "cut.tar")
        let error = try #require(throws: InputError.self) { _ = try data("cut.tar") }
        #expect(error.code == "input.bad_archive" && error.byteOffset == 900)
        _ = try folder.write(Array("nothing of the kind".utf8), to: "none.zip")
        #expect(code { _ = try data("none.zip") } == "input.bad_archive")
        _ = try folder.write(PictureFile.tar([("a.txt", [65], "0")]), to: "texts.tar")
        #expect(code { _ = try data("texts.tar") } == "input.missing_data")
    }

    @Test func badPicturesAreErrorsOrSkipped() throws {
        try folder.makeFolder("bad")
        for number in 0..<3 { _ = try folder.write(png(number), to: "bad/\(number).png") }
        _ = try folder.write(Array(png(3).prefix(60)), to: "bad/1b.png")
        _ = try folder.write(Array("GIF89a".utf8), to: "bad/z.gif")
        let error = try #require(throws: InputError.self) { _ = try data("bad") }
        #expect(error.code == "picture.truncated" && error.message.contains("1b.png"))
        let left = try data("bad", DataOptions(skipsBad: true))
        #expect(try values(left.inputs) == expected([0, 1, 2]))
        #expect(left.warnings.first?.text.hasPrefix("2 of 5 pictures") == true)
        try folder.makeFolder("worse")
        _ = try folder.write([], to: "worse/a.jpg")
        #expect(code { _ = try data("worse", DataOptions(skipsBad: true)) } == "input.missing_data")
        try folder.makeFolder("empty")
        #expect(code { _ = try data("empty") } == "input.missing_data")
    }

    @Test func setsLargerThanTheirShareOfMemoryAreStreamed() throws {
        try folder.makeFolder("flat")
        for number in 0..<12 { _ = try folder.write(png(number), to: "flat/\(number).png") }
        _ = try folder.write(Array("x".utf8), to: "flat/5b.png")
        var context = testContext
        context.memory = 16 * 784 * 4
        var backbone = backbone
        backbone.data.skipsBad = true
        let found = try DataFile(folder.file("flat"), for: backbone, in: context)
        guard case .stream = found.inputs else {
            Issue.record("twelve pictures are not streamed although four fit")
            return
        }
        #expect(found.inputs.count == 12)
        #expect(try values(found.inputs) == expected(Array(0..<12)))
        #expect(try values(found.inputs.spread(atMost: 3)) == expected([0, 4, 8]))
    }

    @Test func streamsTrainAndMeasureAsSetsInMemoryDo() throws {
        let set = try suite.set([suite.tasks[0], suite.tasks[1]])
        try folder.makeFolder("flat")
        for number in 0..<12 { _ = try folder.write(png(number), to: "flat/\(number).png") }
        var context = testContext
        context.memory = 16 * 784 * 4
        let held = try DataFile(folder.file("flat"), for: backbone, in: testContext).inputs
        let streamed = try DataFile(folder.file("flat"), for: backbone, in: context).inputs
        let parameters = try set.backbone.parameters(of: set.base)
        func outcome(_ inputs: InputSet) throws -> ([Float], [Float]) {
            let resolver = try Resolver(
                network: backbone.network, base: parameters, tasks: try set.tasks(), auxiliary: inputs,
                options: ResolverOptions(steps: 4, batchSize: 5, patience: 2, checkEvery: 2), budget: testBudget)
            let adapted = try resolver.resolve(
                expert: try set.backbone.parameters(of: set.experts[0].store), task: 0)
            return (
                adapted.parameters.numbers,
                try backbone.network.features(parameters: parameters, inputs: inputs, budget: testBudget)
            )
        }
        let (first, second) = (try outcome(held), try outcome(streamed))
        let (isSameStudent, areSameFeatures) = (first.0 == second.0, first.1 == second.1)
        #expect(isSameStudent && areSameFeatures)
    }

    /// Folders that lead to one another are looked into once.
    @Test func linksInCircles() throws {
        try folder.makeFolder("circle")
        for number in 0..<12 { symlink(".", folder.file("circle/l\(number)").string) }
        #expect(code { _ = try data("circle") } == "input.missing_data")
        _ = try folder.write(png(3), to: "circle/a.png")
        #expect(try values(data("circle").inputs) == expected([3]))
    }

    @Test func orderOfNames() {
        let names = ["a/10.png", "a.png", "b/1.png", "a/9.png", "a/09.png", "a/9b.png", "10.png", "9.png"]
        #expect(
            names.sorted(by: isBefore)
                == ["9.png", "10.png", "a/9.png", "a/09.png", "a/9b.png", "a/10.png", "a.png", "b/1.png"].sorted(
                    by: isBefore))
        #expect(isBefore("9.png", "10.png") && isBefore("a/9.png", "a/10.png") && isBefore("a/z.png", "a.png"))
        #expect(isBefore("x2y10", "x2y11") && isBefore("x2y10", "x10y1") && !isBefore("x", "x"))
        #expect(isBefore("99999999999999999999998", "99999999999999999999999"))
    }
}
