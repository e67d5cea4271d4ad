import Checkpoints
import Merging
import TensorCore
import Testing

/// Tensors that are not merged: kept by wish, because they are no weights, or because they are parts of quantised weights.
@Suite struct KeptTensorTests {
    private func failure<E: Error>(_ type: E.Type, _ body: () throws -> Merged) throws -> E {
        try #require(throws: E.self) { _ = try body() }
    }

    // MARK: - keepBase

    @Test func keptTensorsHaveTheBytesOfTheBase() throws {
        let base = try makeModel([
            TestTensor("a", [1, 2], dtype: .f16), TestTensor("b.0.w", [4]), TestTensor("c", [7]),
        ])
        let expert = try makeModel([TestTensor("a", [5, 6], dtype: .f16), TestTensor("b.0.w", [8])])
        // `c`, which the expert lacks, is no difference, and `a` keeps its type.
        for (method, store) in [("task_arithmetic", base), ("linear", nil)] as [(String, TensorStore?)] {
            let models = store == nil ? [base, expert] : [expert]
            let merged = try merge(method, base: store, models, keepBase: ["a", "c"], outputDType: .f32)
            #expect(merged.plan.outputs.map(\.name) == ["a", "b.0.w", "c"])
            #expect(merged.plan.outputs.map(\.dtype) == [.f16, .f32, .f32])
            #expect(try merged.store.rawBytes("a") == base.rawBytes("a"))
            #expect(try merged.store.rawBytes("c") == base.rawBytes("c"))
            // 4 + (8 − 4), or the mean of 4 and 8.
            #expect(try merged.store.values("b.0.w") == [store == nil ? 6 : 8])
            #expect(merged.plan.summary.copiedCount == 2)
            #expect(merged.report.warnings.isEmpty)
        }
    }

    @Test func keptTensorsMayHaveOtherShapesAndTypesElsewhere() throws {
        let base = try makeModel([TestTensor("in", [1, 2, 3]), TestTensor("w", [0])])
        let expert = try makeModel([
            TestTensor("in", [1, 2], dtype: .i64), TestTensor("w", [4]), TestTensor("new", [1]),
        ])
        let merged = try merge("task_arithmetic", base: base, [expert], keepBase: ["in", "new"])
        #expect(try merged.store.values("in") == [1, 2, 3])
        // What the base lacks cannot be taken from it.
        #expect(merged.store.index(of: "new") == nil)
        #expect(try merged.store.values("w") == [4])
    }

    @Test func keptTensorsGoBeyondASelectionAndExclusionGoesBeforeThem() throws {
        let model = try makeModel(["a.w", "b.w", "c.w"].map { TestTensor(TensorName($0), [1]) })
        let merged = try merge(
            "linear", base: nil, [model, model], selection: TensorSelection(only: ["a.*"], exclude: ["c.*"]),
            keepBase: ["b.*", "c.*", "nowhere"])
        #expect(merged.plan.outputs.map(\.name) == ["a.w", "b.w"])
        #expect(merged.plan.unusedPatterns == ["nowhere"])
    }

    @Test func remediesKeepTheResultWholeAndNameAllLayersAtOnce() throws {
        func model(_ layers: Range<Int>, more: [TestTensor] = []) throws -> TensorStore {
            try makeModel(
                (0..<12).map { TestTensor(TensorName("m.\($0).w"), [1]) }
                    + layers.map { TestTensor(TensorName("m.\($0).rope.f"), [1]) } + more)
        }
        let (one, two) = (try model(0..<12), try model(0..<0))
        let error = try failure(MergeError.self) { try merge("linear", base: nil, [one, two]) }
        #expect(error.message.contains("12 places"))
        #expect(
            error.details?.rows == [
                ["m.*.rope.f", "missing", "in expert 1, not in expert 2 (12 tensors)", "--keep-base 'm.*.rope.f'"]
            ])
        // Where the first model has none either, leaving them out leaves it whole.
        let reverse = try failure(MergeError.self) { try merge("linear", base: nil, [two, one]) }
        #expect(reverse.details?.rows.map { $0[3] } == ["--exclude 'm.*.rope.f'"])
        #expect(
            try merge("linear", base: nil, [two, one], selection: TensorSelection(exclude: ["m.*.rope.f"]))
                .plan.outputs.count == 12)
        // A star would match `m.0.x.f`, too.
        let other = try makeModel(
            (0..<12).flatMap { layer in
                [TestTensor(TensorName("m.\(layer).w"), [1]), TestTensor(TensorName("m.\(layer).x.w"), [1])]
            })
        let careful = try failure(MergeError.self) {
            try merge(
                "linear", base: nil,
                [other, try makeModel((0..<12).map { TestTensor(TensorName("m.\($0).x.w"), [1]) })])
        }
        #expect(
            careful.details?.rows.map { $0[3] } == ["--keep-base 'm.[0-9].w' --keep-base 'm.[0-9][0-9].w'"])
        // Layers that fit are not to be kept with those that do not.
        let some = try makeModel((0..<12).map { TestTensor(TensorName("m.\($0).w"), [1]) })
        let others = try makeModel(
            (0..<12).map { TestTensor(TensorName("m.\($0).w"), [0, 2, 5].contains($0) ? [1, 2] : [1]) })
        let partial = try failure(MergeError.self) { try merge("linear", base: nil, [some, others]) }
        #expect(
            partial.details?.rows.map { $0[3] } == [
                "--keep-base 'm.0.w' --keep-base 'm.2.w' --keep-base 'm.5.w', or merge models of one architecture"
            ])
        let shape = try makeModel([TestTensor("in.weight", [1, 2])])
        let wide = try makeModel([TestTensor("in.weight", [1, 2, 3])])
        let remedy = try failure(MergeError.self) { try merge("linear", base: nil, [shape, wide]) }.details?.rows[0][3]
        #expect(remedy?.hasPrefix("--keep-base 'in.weight'") == true)
    }

    // MARK: - What is no weight

    @Test func integersThatDifferAreKeptFromTheBase() throws {
        func model(_ steps: Double, _ ids: TestTensor) throws -> TensorStore {
            try makeModel([TestTensor("bn.steps", [steps], dtype: .i64), ids, TestTensor("w", [steps])])
        }
        let ids = TestTensor("emb.position_ids", [0, 1], dtype: .i64)
        let base = try model(1, ids)
        let expert = try model(3, TestTensor("emb.position_ids", [0, 1], dtype: .f16))
        let merged = try merge("average", base: nil, [base, expert], outputDType: .bf16)
        #expect(try merged.store.rawBytes("bn.steps") == base.rawBytes("bn.steps"))
        #expect(try merged.store.rawBytes("emb.position_ids") == base.rawBytes("emb.position_ids"))
        #expect(try merged.store.values("w") == [2])
        let line =
            "2 tensors that are no weights, such as \"emb.position_ids\", differ between the models and are kept from expert 1"
        #expect(merged.report.warnings.map(\.text) == [line])
        // The other way round a known buffer is kept in whatever type the first model has it.
        let reverse = try merge("average", base: nil, [expert, base])
        #expect(try reverse.store.rawBytes("emb.position_ids") == expert.rawBytes("emb.position_ids"))
        // Equal ones are nothing to speak of.
        #expect(try merge("average", base: nil, [base, base]).report.warnings.isEmpty)
    }

    @Test func buffersThatArchitecturesComputeMayBeMissing() throws {
        let names = (0..<3).map { TensorName("model.layers.\($0).self_attn.rotary_emb.inv_freq") }
        let plain = try makeModel([TestTensor("w", [1])])
        let rich = try makeModel(names.map { TestTensor($0, [1]) } + [TestTensor("w", [3])])
        let kept = try merge("average", base: nil, [rich, plain])
        #expect(kept.plan.outputs.map(\.name) == names + ["w"])
        #expect(kept.report.warnings.count == 1 && kept.report.warnings[0].text.hasSuffix("are kept from expert 1"))
        let dropped = try merge("average", base: nil, [plain, rich])
        #expect(dropped.plan.outputs.map(\.name) == ["w"])
        #expect(try dropped.store.values("w") == [2])
        #expect(
            dropped.report.warnings.count == 1 && dropped.report.warnings[0].text.hasSuffix("left out, as in expert 1"))
    }

    @Test func codesOfEightBitsThatDifferAreRefused() throws {
        let one = try makeModel([TestTensor("w", [0, 1, 2, 3], dtype: .f8E4M3), TestTensor("v", [1])])
        let two = try makeModel([TestTensor("w", [0, 1, 2, 9], dtype: .f8E4M3), TestTensor("v", [3])])
        let error = try failure(MergeError.self) { try merge("average", base: nil, [one, two]) }
        #expect(error.code == "merge.different_buffers")
        #expect(error.message.contains("\"w\" (F8_E4M3) differs between expert 1 and expert 2"))
        // A cast of such weights is exact, so the advice is good.
        #expect(
            error.hint
                == "take them from the base with --keep-base 'w', or untangle convert --dtype BF16 each model first, unless "
                + "scales belong to it")
    }

    // MARK: - Parts of quantised weights

    private func quantized(_ code: Double = 1, scale: Double = 0.5, norm: Double = 1) throws -> TensorStore {
        try makeModel([
            TestTensor("q.weight", [code, 2, 3, 4], shape: [2, 2], dtype: .f8E4M3),
            TestTensor("q.weight_scale_inv", [scale], shape: [1, 1]), TestTensor("n.weight", [norm]),
        ])
    }

    @Test func partsOfQuantisedWeightsAreNeverMergedOneByOne() throws {
        for other in [try quantized(9), try quantized(scale: 0.25)] {
            let error = try failure(WeightsError.self) {
                try merge("linear", base: nil, [try quantized(), other])
            }
            #expect(error.code == "input.quantized" && error.severity == .badInput)
            #expect(error.message.contains("quantised (fp8)"))
            #expect(error.hint?.contains("--dtype") == false)
        }
        // Where only other tensors were trained there is nothing to compute with them.
        let same = try merge("average", base: nil, [try quantized(), try quantized(norm: 3)], outputDType: .bf16)
        #expect(try same.store.rawBytes("q.weight_scale_inv") == quantized().rawBytes("q.weight_scale_inv"))
        #expect(same.plan.outputs.map(\.dtype) == [.f8E4M3, .f32, .bf16])
        #expect(try same.store.values("n.weight") == [2])
        #expect(
            same.report.warnings.map(\.text) == [
                "parts of quantised weights (fp8) are the same in all models and kept as they are: 2 tensors"
            ])
        // Kept together they stay a weight.
        let kept = try merge("average", base: nil, [try quantized(), try quantized(9)], keepBase: ["q.*"])
        #expect(try kept.store.rawBytes("q.weight") == quantized().rawBytes("q.weight"))
    }

    @Test func aQuantisedModelPassesThroughUnscaled() throws {
        let model = try quantized()
        let merged = try merge("passthrough", base: nil, [model], outputDType: .bf16)
        #expect(try merged.store.rawBytes("q.weight") == model.rawBytes("q.weight"))
        #expect(try merged.store.rawBytes("q.weight_scale_inv") == model.rawBytes("q.weight_scale_inv"))
        #expect(merged.plan.outputs.map(\.dtype) == [.f8E4M3, .f32, .bf16])
        let scaled = MergeParameters(["scale": .number(0.5)])
        #expect(
            try failure(WeightsError.self) { try merge("passthrough", base: nil, [model], scaled) }.code
                == "input.quantized")
    }

    @Test func modelsOfWhichOneIsQuantisedAreToldOfInOneLine() throws {
        let plain = try makeModel([
            TestTensor("q.weight", [1, 2, 3, 4], shape: [2, 2], dtype: .bf16), TestTensor("n.weight", [1]),
        ])
        for models in [[try quantized(), plain], [plain, try quantized()]] {
            let error = try failure(WeightsError.self) { try merge("linear", base: nil, models) }
            let place = models[0] === plain ? ("expert 2", "expert 1") : ("expert 1", "expert 2")
            #expect(error.message == "\(place.0) is quantised (fp8), \(place.1) is not")
        }
    }

    @Test func factorsOfAdaptersAreNotMergedOneByOne() throws {
        let adapter = try makeModel([TestTensor("q.lora_A.weight", [1]), TestTensor("q.lora_B.weight", [1])])
        let error = try failure(WeightsError.self) { try merge("linear", base: nil, [adapter, adapter]) }
        #expect(error.code == "input.adapter" && error.tensor == "q.lora_A.weight")
        #expect(error.hint?.contains("BASE+ADAPTER") == true)
    }
}
