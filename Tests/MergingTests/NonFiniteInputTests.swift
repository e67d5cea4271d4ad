import Checkpoints
import Kernels
import Merging
import TensorCore
import Testing

@Suite("inputs with NaN and infinities") struct NonFiniteInputTests {
    static let names = RegistryTests.names

    func model(_ seed: UInt64, _ change: (inout [Double]) -> Void = { _ in }) throws -> TensorStore {
        var numbers = TestNumbers(seed: seed)
        var vector = numbers.list(5)
        change(&vector)
        return try makeModel([
            TestTensor("wide.weight", numbers.list(45), shape: [5, 9]), TestTensor("vector", vector),
        ])
    }

    func text(_ found: [NonFiniteTensor]) -> [String] { found.map { "\($0.model) \($0.tensor) \($0.count.text)" } }

    @Test("every method names tensor, model and number, once", arguments: names, [DType.f32, .f64])
    func named(name: String, dtype: DType) throws {
        let info = try RegistryTests.info(name)
        let count = RegistryTests.expertCount(info)
        let base = try model(1) { if info.usesBase { $0[4] = -.infinity } }
        let experts = try (0..<count).map { place in
            try model(UInt64(2 + place)) { if place == 0 { ($0[0], $0[1], $0[3]) = (.nan, .infinity, .nan) } }
        }
        let parameters = try RegistryTests.needs(name, experts: count)
        var expected = ["expert 1 vector 2 NaN and 1 infinity"]
        if info.usesBase { expected.insert("base vector 1 infinity", at: 0) }
        for threads in [1, 2, 5] {
            let report = try merge(
                name, base: base, experts, parameters, outputDType: dtype, threads: threads
            ).report
            #expect(text(report.notFinite) == expected)
            let warnings = report.warnings.filter {
                $0.text.contains("of expert 1 ((memory)) holds 2 NaN and 1 infinity")
            }
            #expect(warnings.count == 1)
        }
        let clean = try (0..<count).map { try model(UInt64(2 + $0)) }
        #expect(try merge(name, base: model(1), clean, parameters).report.notFinite.isEmpty)
    }

    @Test(
        "they are counted once over blocks and chunks, however often a method reads them",
        arguments: [("linear", nil), ("ties", "tensor"), ("ties", "model"), ("karcher", nil), ("sce", nil)]
            as [(String, String?)], [DType.f16, .bf16, .f32, .f64])
    func counted(subject: (name: String, scope: String?), dtype: DType) throws {
        let count = (1 << 20) + 3000
        var numbers = TestNumbers(seed: 3)
        let values = numbers.list(count)
        var spoilt = values
        for place in [0, 2047, 2048, (1 << 20) - 1, 1 << 20, count - 1] { spoilt[place] = .nan }
        spoilt[5000] = .infinity
        let (base, fine, bad) = (
            try makeModel([TestTensor("w", values, dtype: dtype)]),
            try makeModel([TestTensor("w", values.reversed(), dtype: dtype)]),
            try makeModel([TestTensor("w", spoilt, dtype: dtype)])
        )
        var parameters = MergeParameters()
        if let scope = subject.scope {
            (parameters["trim_scope"], parameters["density"]) = (.text(scope), .number(0.3))
        }
        if subject.name == "sce" { parameters["select_topk"] = .number(0.5) }
        for threads in [1, 2, 5] {
            let report = try merge(subject.name, base: base, [fine, bad], parameters, threads: threads).report
            #expect(text(report.notFinite) == ["expert 2 w 6 NaN and 1 infinity"])
        }
    }

    @Test("a matrix that would be spoilt is refused with the models at fault and their numbers")
    func refused() throws {
        func matrix(_ values: [Double]) throws -> TensorStore {
            try makeModel([TestTensor("a.weight", values, shape: [2, 2]), TestTensor("a.bias", [1, values[0]])])
        }
        let (base, one) = (try matrix([1, 2, .infinity, 4]), try matrix([3, 1, 2, 2]))
        for method in ["tsv_m", "iso_c", "iso_cts", "knots_ties", "wudi"] {
            let error = try #require(throws: MergeError.self) {
                try merge(method, base: base, [one, matrix([.nan, 1, .nan, 2])])
            }
            #expect(error.code == "merge.not_finite" && error.tensor == "a.weight")
            let found = "holds 1 infinity in base ((memory)), 2 NaN in expert 2 ((memory)), which would"
            #expect(error.message.contains(found), "\(method): \(error.message)")
        }
        // Every number is finite, their difference in F32 is not.
        let far = try #require(throws: MergeError.self) {
            try merge("iso_c", base: matrix([3e38, 1, 1, 1]), [matrix([-3e38, 1, 1, 2])])
        }
        #expect(far.code == "merge.not_finite" && far.message.contains("differences beyond F32"))
    }

    @Test("what a method does not read is not looked at")
    func unread() throws {
        let (base, bad) = (try model(1) { $0[0] = .nan }, try model(2) { $0[1] = .nan })
        #expect(try text(merge("linear", base: base, [model(3)]).report.notFinite) == [])
        let kept = try merge("iso_c", base: model(1), [bad], MergeParameters(["others": .text("base")])).report
        #expect(kept.notFinite.isEmpty)
    }
}
