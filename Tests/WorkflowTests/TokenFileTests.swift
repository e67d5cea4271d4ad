import Checkpoints
import Experts
import Interference
import Networks
import SystemPackage
import TensorCore
import Testing
import TestSupport

/// Texts of data files.
@Suite struct TokenFileTests {
    private let folder = TemporaryFolder()
    private let shape = TokenShape(vocabulary: 10, longest: 4, typeCount: 2)

    private func tensor(_ name: TensorName, _ dims: [Int], _ values: [Int64]) -> TestTensor {
        TestTensor(name, .i64, dims, values.withUnsafeBytes(Array.init))
    }

    private func file(_ tensors: [TestTensor], _ shape: TokenShape? = nil) throws -> TokenFile {
        try TokenFile(try folder.checkpoint("data.npz", tensors), of: shape ?? self.shape)
    }

    @Test func readsWhatTokenizersMake() throws {
        let file = try file([
            tensor("input_ids", [2, 3], [1, 2, 3, 4, 9, 0]), tensor("attention_mask", [2, 3], [1, 1, 1, 1, 1, 0]),
            tensor("token_type_ids", [2, 3], [0, 0, 1, 0, 1, 0]), tensor("labels", [2], [1, 0]),
        ])
        #expect(file.tokens.ids == [1, 2, 3, 4, 9, 0])
        #expect(file.tokens.mask == [1, 1, 1, 1, 1, 0])
        #expect(file.tokens.types == [0, 0, 1, 0, 1, 0])
        #expect((file.tokens.count, file.tokens.length) == (2, 3))
        #expect(file.labels == [1, 0])
    }

    @Test func takesAnyIntegersAndNothingButIds() throws {
        let file = try file([TestTensor("input_ids", .u8, [1, 2], [3, 4])])
        #expect(file.tokens.ids == [3, 4])
        #expect(file.tokens.mask == [1, 1])
        #expect(file.tokens.types == nil && file.labels == nil)
        let mixed = try self.file([
            TestTensor("input_ids", .i32, [1, 2], [3, 0, 0, 0, 4, 0, 0, 0]),
            TestTensor("attention_mask", .bool, [1, 2], [1, 0]),
        ])
        #expect(mixed.tokens.ids == [3, 4] && mixed.tokens.mask == [1, 0])
    }

    /// A model without token types takes those that say nothing.
    @Test func typesWithoutATable() throws {
        let plain = TokenShape(vocabulary: 10, longest: 4, typeCount: 0)
        let ids = tensor("input_ids", [1, 2], [3, 4])
        #expect(try file([ids, tensor("token_type_ids", [1, 2], [0, 0])], plain).tokens.types == nil)
        let error = try #require(throws: InputError.self) {
            _ = try file([ids, tensor("token_type_ids", [1, 2], [0, 1])], plain)
        }
        #expect(error.message.hasSuffix("the model knows no token types"))
    }

    @Test(
        arguments: [
            ("input_ids", [1, 2], [3, 10], "in text 0 at token 1; the model's vocabulary has the numbers 0 to 9"),
            ("input_ids", [1, 2], [-1, 3], "the value -1 in text 0 at token 0"),
            ("input_ids", [1, 2], [3, .max], "the value 9223372036854775807 in text 0"),
            ("input_ids", [1, 5], [1, 1, 1, 1, 1], "but the model has positions for 4 tokens"),
            ("input_ids", [2], [1, 1], "has shape [2], but the model takes [N, T]"),
            (
                "attention_mask", [2, 2], [1, 2, 1, 1],
                "the value 2 in text 0 at token 1; a mask is 1 for tokens and 0 for padding"
            ),
            ("attention_mask", [2, 2], [1, 1, 0, 0], "is 0 in all of text 1"),
            ("attention_mask", [2, 1], [1, 1], "has shape [2, 1], but \"input_ids\" has shape [2, 2]"),
            ("token_type_ids", [2, 2], [0, 1, 2, 0], "the value 2 in text 1 at token 0; the model knows 2, from 0"),
            ("token_type_ids", [4], [0, 1, 1, 0], "has shape [4]"),
            ("labels", [3], [0, 1, 1], "has shape [3] but there are 2 texts"),
        ] as [(TensorName, [Int], [Int64], String)])
    func saysWhatIsWrongWithTexts(name: TensorName, dims: [Int], values: [Int64], message: String) throws {
        var tensors = [tensor(name, dims, values)]
        if name != "input_ids" { tensors.append(tensor("input_ids", [2, 2], [1, 2, 3, 4])) }
        let error = try #require(throws: InputError.self) { _ = try file(tensors) }
        #expect(["input.bad_value", "input.bad_shape"].contains(error.code))
        #expect(error.tensor == name.text && error.file == folder.file("data.npz").string)
        #expect(error.message.contains(message), "\(error.message)")
    }

    @Test func idsAreIntegers() throws {
        #expect(code { _ = try file([TestTensor("input_ids", [1, 2], [1, 2])]) } == "input.bad_dtype")
        #expect(
            code {
                _ = try TokenFile(try folder.checkpoint("e.safetensors", [tensor("input_ids", [0, 2], [])]), of: shape)
            }
                == "input.bad_shape")
    }

    @Test func saysWhatAFileHoldsInsteadOfTexts() throws {
        let images = [TestTensor("images", .u8, [1, 2, 2], [0, 0, 0, 0])]
        let error = try #require(throws: InputError.self) { _ = try file(images) }
        #expect(error.code == "input.missing_tensor" && error.tensor == "input_ids")
        #expect(error.message.contains("holds images, and the model takes texts, and data needs \"input_ids\" [N, T]"))
        let texts = try folder.checkpoint("texts.npz", [tensor("input_ids", [1, 2], [1, 2])])
        let other = try #require(throws: InputError.self) {
            _ = try ImageFile(texts, of: ImageShape(channels: 1, height: 2, width: 2), normalization: .unit)
        }
        #expect(other.message.contains("holds texts, and the model takes images, and data needs \"images\""))
        let named = try #require(throws: InputError.self) { _ = try file([tensor("ids", [1, 2], [1, 2])]) }
        #expect(named.hint?.hasSuffix("--rename '^ids$=>input_ids'`") == true)
    }

    @Test func noiseIsMadeOfImages() throws {
        let backbone = try Backbone(
            of: TensorStore(opening: Fixtures.path("networks/bert-mean/base.safetensors")))
        let error = try #require(throws: InputError.self) {
            _ = try AuxiliarySource("noise", count: 4).inputs(for: backbone, in: testContext)
        }
        #expect(error.code == "input.missing_data")
        #expect(error.message == "noise is made of images, and the model takes texts")
    }

    @Test func labelsOfTextsWithoutAClass() throws {
        let network = try GoldenNetwork("bert-mean")
        let path = try folder.checkpoint(
            "data.npz", [tensor("input_ids", [2, 2], [1, 2, 3, 4]), tensor("labels", [2], [0, 5])])
        let error = try #require(throws: InputError.self) {
            _ = try network.backbone.taskData(path, task: network.tasks[0], name: "x", in: testContext)
        }
        #expect(error.message == "\"labels\" has the value 5 at text 1, but the head of \"x\" has 5 classes from 0")
    }
}
