import Checkpoints
import Experts
import Kernels
import Networks
import SystemPackage
import TensorCore
import TestSupport
import Testing
import Work

/// Inputs that are made where there are none.
@Suite struct GeneratedInputsTests {
    private func pictures(_ shape: ImageShape, _ numbers: Range<Int>, seed: UInt64 = 0) -> [[UInt8]] {
        numbers.map { number in
            [UInt8](unsafeUninitializedCapacity: shape.elementCount) { pixels, count in
                ShapePicture(shape, seed: seed, number: number).write(to: pixels.baseAddress!)
                count = shape.elementCount
            }
        }
    }

    @Test func picturesDependOnSeedAndNumberAlone() throws {
        let shape = ImageShape(channels: 1, height: 28, width: 28)
        let (some, again, others) = (
            pictures(shape, 0..<40), pictures(shape, 10..<20), pictures(shape, 0..<40, seed: 1)
        )
        #expect(Array(some[10..<20]) == again)
        #expect(Set(some).count == 40 && Set(some + others).count == 80)
    }

    /// As the recipe says: ground from 0 to .3, ink from .5 to 1, a quarter inverted: dark and light, and hardly any without contrast.
    @Test func picturesHaveContrast() throws {
        let levels = pictures(ImageShape(channels: 1, height: 28, width: 28), 0..<400).map { pixels -> (Double, Int) in
            let mean = pixels.reduce(0.0) { $0 + Double($1) } / Double(pixels.count)
            return (mean / 255, Int(pixels.max()!) - Int(pixels.min()!))
        }
        #expect(levels.filter { $0.1 < 32 }.count < 24)
        let mean = levels.reduce(0) { $0 + $1.0 } / 400
        #expect(mean > 0.3 && mean < 0.6)
    }

    @Test func picturesOfOddSizesAndColours() throws {
        for (height, width) in [(1, 1), (1, 9), (33, 20), (20, 33)] {
            let shape = ImageShape(channels: 3, height: height, width: width)
            #expect(pictures(shape, 0..<60).allSatisfy { $0.count == shape.elementCount })
        }
        let shape = ImageShape(channels: 3, height: 16, width: 16)
        #expect(pictures(shape, 0..<20).contains { $0[..<256] != $0[256..<512] })
    }

    @Test func kindsHaveNamesThatNoFileTakes() throws {
        for kind in GeneratedInputs.Kind.allCases {
            #expect(
                AuxiliarySource(kind.rawValue, count: 3, seed: 5)
                    == .generated(GeneratedInputs(kind, count: 3, seed: 5)))
            #expect(AuxiliarySource("./\(kind.rawValue)") == .file(FilePath("./\(kind.rawValue)")))
        }
    }

    @Test func imagesAndTextsAreNotMixedUp() throws {
        let images = try Backbone(of: TensorStore(opening: PipelineSuite("tiny").base))
        let texts = try Backbone(of: TensorStore(opening: Fixtures.path("networks/bert-mean/base.safetensors")))
        for (kind, backbone) in [("tokens", images), ("shapes", texts), ("noise", texts)] {
            #expect(
                code { _ = try AuxiliarySource(kind).inputs(for: backbone, in: testContext) } == "input.missing_data")
        }
        #expect(code { _ = try AuxiliarySource("tokens").inputs(for: texts, in: testContext) } == "input.bad_tokenizer")
    }

    @Test func theyFitIntoWhatIsAllowed() throws {
        let backbone = try Backbone(of: TensorStore(opening: PipelineSuite("tiny").base))
        var context = testContext
        // 28 x 28 pixels of a byte each; noise is two numbers of four bytes on the way.
        context.memory = 100 * 784
        #expect(try AuxiliarySource("shapes", count: 100).inputs(for: backbone, in: context).count == 100)
        for (name, count) in [("shapes", 101), ("noise", 13), ("shapes", Int.max)] {
            let source = AuxiliarySource(name, count: count)
            #expect(code { _ = try source.inputs(for: backbone, in: context) } == "io.memory", "\(count) \(name)")
        }
    }

    @Test func anyNumberOfThreadsMakesTheSame() throws {
        let backbone = try Backbone(of: TensorStore(opening: PipelineSuite("tiny").base))
        func values(_ threads: Int, _ count: Int) throws -> [Float] {
            let inputs = try AuxiliarySource("shapes", count: count).inputs(
                for: backbone, in: Context(budget: ComputeBudget(threads: threads)))
            guard case .images(let images) = inputs else { return [] }
            return images.values
        }
        let (one, five) = (try values(1, 20), try values(5, 30))
        let isSame = one == Array(five[..<one.count])
        #expect(one.count == 20 * 784 && isSame)
    }
}
