import Checkpoints
import Merging
import TensorCore
import Testing

@Suite("parameters of methods on matrices") struct MatrixParameterTests {
    private func model(_ seed: UInt64, scale: Double = 1) throws -> TensorStore {
        var numbers = TestNumbers(seed: seed)
        return try makeModel(
            ["layers.0.a.weight", "layers.0.b.weight"].map {
                TestTensor($0, numbers.list(96).map { scale * $0 }, shape: [8, 12])
            })
    }

    /// Each with two values that give other matrices.
    static let parameters: [(method: String, key: String, values: [ParameterValue])] = [
        ("dc_merge", "keep", [.number(0.05), .number(0.5)]), ("dc_merge", "rank", [.number(1), .number(2)]),
        ("swudi", "time", [.number(1), .text("auto")]), ("swudi", "rank_ratio", [.number(0.2), .number(1)]),
        ("aswudi", "rank_scale", [.number(0.3), .number(1)]), ("actmat", "weight", [.number(1), .number(2)]),
        ("iso_cts", "common_space_fraction", [.number(0.25), .number(0.75)]),
        ("wudi", "iterations", [.number(1), .number(20)]), ("ace", "gate", [.number(0), .number(1000)]),
    ]

    @Test("vary with the tensor as a recipe says", arguments: parameters.indices)
    func vary(place: Int) throws {
        let (method, key, values) = Self.parameters[place]
        // Experts of lengths far apart open the gate of ace.
        let (base, experts) = (try model(1, scale: 0), [try model(2), try model(3, scale: 9)])
        func merged(_ value: @escaping @Sendable (TensorName, Int?) -> ParameterValue) throws -> TensorStore {
            var parameters = MergeParameters { name, expert, tensor in name == key ? value(tensor, expert) : nil }
            parameters.varying = [key]
            return try merge(method, base: base, experts, parameters).store
        }
        // Of a parameter for each expert the second has twice as much of one value.
        @Sendable func value(_ value: ParameterValue, _ expert: Int?) -> ParameterValue {
            if case .number(let number) = value, expert == 1 { .number(number * number) } else { value }
        }
        let alone = try values.map { chosen in try merged { _, expert in value(chosen, expert) } }
        let mixed = try merged { tensor, expert in value(values[tensor == "layers.0.a.weight" ? 0 : 1], expert) }
        for (place, tensor) in (["layers.0.a.weight", "layers.0.b.weight"] as [TensorName]).enumerated() {
            let expected = try alone[place].values(tensor)
            #expect(try mixed.values(tensor) == expected)
            #expect(try alone[1 - place].values(tensor) != expected, "\(key) makes no difference")
        }
    }
}
