import Checkpoints
import Merging
import TensorCore
import Testing

@Suite("spherical methods and Model Stock") struct SphericalTests {
    func model(_ values: [Double], shape: Shape? = nil) throws -> TensorStore {
        try makeModel([TestTensor("a", values, shape: shape)])
    }

    func values(
        _ method: String, base: TensorStore? = nil, _ experts: [TensorStore],
        _ parameters: [String: ParameterValue] = [:]
    ) throws -> [Double] {
        try merge(method, base: base, experts, MergeParameters(parameters)).store.values("a")
    }

    func expect(_ values: [Double], _ expected: [Double], tolerance: Double = 1e-6) {
        #expect(values.count == expected.count)
        for (a, b) in zip(values, expected) { #expect(abs(a - b) <= tolerance, "\(values) \(expected)") }
    }

    let half = Double(0.5).squareRoot()
    let root3 = Double(3).squareRoot()

    @Test("slerp goes along the circle, or straight when the ends are parallel or opposite")
    func slerp() throws {
        // A right angle: half way both weigh sin 45° / sin 90°.
        try expect(values("slerp", base: model([1, 0]), [model([0, 1])]), [half, half])
        // Lengths stay as they are: at t = 1/3, sin 60° · (2, 0) + sin 30° · (0, 4).
        try expect(
            values("slerp", base: model([2, 0]), [model([0, 4])], ["t": .number(1.0 / 3)]), [root3, 2])
        try expect(values("slerp", base: model([1, 2]), [model([3, 6])], ["t": .number(0.25)]), [1.5, 3])
        try expect(values("slerp", base: model([1, 2]), [model([-1, -2])], ["t": .number(0.25)]), [0.5, 1])
        try expect(values("slerp", base: model([0, 0]), [model([1, 0])]), [half, 0])
    }

    @Test("slerp of a tensor of several chunks is that of all its elements")
    func chunks() throws {
        // Alternating (1, 0) and (0, 1): a right angle over the whole, whatever a chunk holds.
        let count = 2_200_000
        let base = try model((0..<count).map { $0 < count / 2 ? 1 : 0 })
        let other = try model((0..<count).map { $0 < count / 2 ? 0 : 1 })
        let merged = try values("slerp", base: base, [other])
        #expect(merged.allSatisfy { abs($0 - half) < 1e-6 })
    }

    @Test("nuslerp by tensor, row and column, and of task vectors with a base")
    func nuslerp() throws {
        let (x, y) = (try model([1, 0, 0, 2], shape: [2, 2]), try model([0, 1, 0, 2], shape: [2, 2]))
        let flags: [String: ParameterValue] = ["nuslerp_flatten": .flag(false)]
        // Rows (1, 0) and (0, 1) at a right angle; (0, 2) twice, parallel.
        try expect(values("nuslerp", [x, y], flags), [half, half, 0, 2])
        // Columns (1, 0) and (0, 0): a vector of no length is at a right angle to all. (0, 2) and (1, 2): cos φ = 2/√5.
        let weight = 0.229753  // sin(φ / 2)
        let columns = try values("nuslerp", [x, y], flags.merging(["nuslerp_row_wise": .flag(true)]) { $1 })
        let share = weight / 0.4472136  // sin φ = 1/√5
        expect(columns, [half, share, 0, 4 * share], tolerance: 1e-5)
        // The whole: ⟨x, y⟩ = 4, lengths √5, so cos φ = 0.8; both weigh sin(φ/2) / sin φ = √0.1 / 0.6.
        let both = Double(0.1).squareRoot() / 0.6
        try expect(values("nuslerp", [x, y]), [both, both, 0, 4 * both])
        let base = try model([10, 10, 10, 10], shape: [2, 2])
        let (p, q) = (try model([11, 10, 10, 12], shape: [2, 2]), try model([10, 11, 10, 12], shape: [2, 2]))
        try expect(values("nuslerp", base: base, [p, q]), [both, both, 0, 4 * both].map { $0 + 10 }, tolerance: 2e-6)
        // Weights 1 and 3 go three quarters of the way; weights that cancel out go half.
        try expect(
            values("nuslerp", [model([1, 0]), model([0, 1])], ["weight": .list([.number(1), .number(2)])]),
            [0.5, root3 / 2])
        try expect(
            values("nuslerp", [model([1, 0]), model([0, 1])], ["weight": .list([.number(1), .number(-1)])]),
            [half, half])
    }

    @Test("lines along the first dimension cross chunks")
    func longColumns() throws {
        // Three rows of 700,001: every column is (1, 0, 0) and (0, 0, 1), except the last, which is parallel.
        let n = 700_001
        let x = (0..<3 * n).map { $0 < n ? 1.0 : 0 }
        var y = (0..<3 * n).map { $0 >= 2 * n ? 1.0 : 0 }
        y[3 * n - 1] = 0
        y[n - 1] = 3
        let merged = try values(
            "nuslerp", [model(x, shape: [3, n]), model(y, shape: [3, n])],
            ["nuslerp_flatten": .flag(false), "nuslerp_row_wise": .flag(true)])
        #expect((0..<n - 1).allSatisfy { abs(merged[$0] - half) < 1e-6 && abs(merged[2 * n + $0] - half) < 1e-6 })
        expect([merged[n - 1], merged[3 * n - 1]], [2, 0])
    }

    @Test("multislerp is the mean direction at the mean length")
    func multislerp() throws {
        // Directions (1, 0) and (0, 1) with weights 3/4 and 1/4, lengths 2 and 4: (3, 1)/√10 · 2.5
        let merged = try values(
            "multislerp", [model([2, 0]), model([0, 4])], ["weight": .list([.number(3), .number(1)])])
        expect(merged, [7.5, 2.5].map { $0 / Double(10).squareRoot() })
        // Directions that cancel out: the weighted sum.
        try expect(values("multislerp", [model([2, 0]), model([-4, 0])]), [-1, 0])
        let zero = ["weight": ParameterValue.list([.number(1), .number(-1)])]
        #expect(throws: MergeError.self) { try values("multislerp", [model([2, 0]), model([-4, 0])], zero) }
    }

    @Test("the Karcher mean lies in the middle, and survives opposite and vanishing models")
    func karcher() throws {
        try expect(
            values("karcher", [model([2, 0, 0]), model([0, 4, 0]), model([0, 0, 6])]),
            [4, 4, 4].map { $0 / root3 })
        // Two models at 0° and one at 90°: the mean direction is at 30°, where the plain mean is at atan(1/2) = 26.6°.
        try expect(
            values(
                "karcher", [model([1, 0]), model([1, 0]), model([0, 1])],
                ["max_iter": .number(200), "tol": .number(1e-9)]),
            [root3 / 2, 0.5], tolerance: 1e-5)
        let opposite = try values("karcher", [model([1, 0]), model([-1, 0])])
        #expect(opposite.allSatisfy { $0.isFinite })
        // A model of no length counts for the length alone.
        try expect(values("karcher", [model([2, 0]), model([0, 0])]), [1, 0])
        try expect(values("karcher", [model([0, 0]), model([0, 0])]), [0, 0])
    }

    @Test("Model Stock weighs by agreement, over tensors or rows")
    func modelStock() throws {
        // Task vectors (1, 0) and (1, 1): c = 1/√2, t = 2c/(1 + c); mean task vector (1, 1/2).
        let base = try model([5, 5])
        let c = half
        let t = 2 * c / (1 + c)
        try expect(
            values("model_stock", base: base, [model([6, 5]), model([6, 6])]), [5 + t, 5 + t / 2])
        // Row by row: identical rows are taken over, rows at a right angle stay at the base.
        let wide = try model([0, 0, 0, 0], shape: [2, 2])
        let rows = try values(
            "model_stock", base: wide, [model([1, 2, 1, 0], shape: [2, 2]), model([1, 2, 0, 1], shape: [2, 2])],
            ["filter_wise": .flag(true)])
        expect(rows, [1, 2, 0, 0])
        // Opposite task vectors: the divisor vanishes, the base stays.
        try expect(values("model_stock", base: base, [model([6, 5]), model([4, 5])]), [5, 5])
    }

    @Test("rows across chunks are compared as rows of their own tensors")
    func longRows() throws {
        let n = 700_001
        var numbers = TestNumbers(seed: 11)
        let lists = (0..<3).map { _ in numbers.list(3 * n).map { Double(Float($0)) } }
        func whole(_ i: Int) throws -> TensorStore { try model(lists[i], shape: [3, n]) }
        func parts(_ i: Int) throws -> TensorStore {
            try makeModel((0..<3).map { TestTensor(TensorName("\($0)"), Array(lists[i][$0 * n..<($0 + 1) * n])) })
        }
        let merged = try values(
            "model_stock", base: whole(0), [whole(1), whole(2)], ["filter_wise": .flag(true)])
        let apart = try merge("model_stock", base: parts(0), [parts(1), parts(2)]).store
        for row in 0..<3 {
            let expected = try apart.values(TensorName("\(row)"))
            #expect(zip(merged[row * n..<(row + 1) * n], expected).allSatisfy { abs($0 - $1) < 1e-6 })
        }
    }
}
