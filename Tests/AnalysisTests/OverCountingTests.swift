import Analysis
import Checkpoints
import TensorCore
import Testing

/// How often directions are counted, worked out by hand on matrices that are their own singular vectors.
@Suite struct OverCountingTests {
    /// Over a base of zeros, so that experts are their own task vectors.
    private func counting(_ experts: [[Float]], _ changes: [TaskVectorSet.MergedChange]) throws -> [OverCounting] {
        let shape = Shape([2, 2])
        func model(_ values: [Float]) throws -> TensorStore { try makeModel([("m", shape, values)]) }
        let set = try TaskVectorSet(
            base: try model([0, 0, 0, 0]),
            experts: try experts.enumerated().map { (name: "e\($0)", store: try model($1)) })
        return try set.overCounting(of: changes)
    }

    /// diag(2, 0) and diag(0, 1): the sum diag(2, 1) has along each direction what one expert asks for, and the other does not move.
    @Test func orthogonalExpertsAreCountedOnce() throws {
        let found = try counting([[2, 0, 0, 0], [0, 0, 0, 1]], [.init(sum: [0, 1], experts: [0, 1])])[0]
        expectClose([found.coefficient, found.share, found.experts[0], found.experts[1]], [1, 0, 1, 1])
    }

    /// diag(1, 1) and diag(1, 0): along the first direction, of energy 4, the sum has 2 where each asks for 1; along the second, of
    /// energy 1, it has what the first asks for. Coefficient (4 * 2 + 1 * 1) / 5 = 1.8, share (4 * 1/2) / 5 = 0.4.
    @Test func sharedDirectionsAreCountedTwice() throws {
        let found = try counting([[1, 0, 0, 1], [1, 0, 0, 0]], [.init(sum: [0, 1], experts: [0, 1])])[0]
        expectClose([found.coefficient, found.share, found.experts[0], found.experts[1]], [1.8, 0.4, 1.8, 2])
    }

    /// diag(1, 0) and -1/2 of it: the sum is 1/2 of it, half of what the first asks for and -1 times what the second does.
    @Test func opposedExpertsAreCountedLess() throws {
        let found = try counting([[1, 0, 0, 0], [-0.5, 0, 0, 0]], [.init(sum: [0, 1], experts: [0, 1])])[0]
        expectClose([found.coefficient, found.share, found.experts[0], found.experts[1]], [-0.25, 0, 0.5, -1])
    }

    /// A merged model stands in the set beside its experts: 3/2 diag(1, 1) against diag(1, 1).
    @Test func aMergedModelIsHeldAgainstItsExperts() throws {
        let found = try counting([[1, 0, 0, 1], [1.5, 0, 0, 1.5]], [.init(sum: [1], experts: [0])])[0]
        expectClose([found.coefficient, found.share], [1.5, 1 - 1 / 1.5])
    }

    /// Experts of 24 numbers, and of the same divided by 100.
    private func values(_ p: Int, _ q: Int, _ r: Int, _ s: Int, scale: Float = 1) -> [Float] {
        (0..<24).map { place in
            let (i, j) = (place / 4, place % 4)
            return scale * (Float((i * i * p + j * q + i * j) % r - s) / 10)
        }
    }

    private func set(_ experts: [[Float]], copies: Int = 1) throws -> TaskVectorSet {
        let shape = copies == 1 ? Shape([6, 4]) : Shape([copies, 6, 4])
        func model(_ values: [Float]) throws -> TensorStore {
            try makeModel([("experts.w", shape, (0..<copies).flatMap { _ in values })])
        }
        return try TaskVectorSet(
            base: try model(Array(repeating: 0, count: 24)),
            experts: try experts.enumerated().map { (name: "e\($0)", store: try model($1)) })
    }

    /// Against NumPy: `u, s, vt = svd(a + b)`, `x = u[:, r] @ t`, `(u[:, r] @ m) @ x / (x @ x)`, the mean over a and b, weighted with s²; and
    /// what s² has beyond the sum of `x @ x`. The spectra of the same experts have the same figures, as has a stack that repeats the matrix.
    @Test func agreesWithNumPyOnAMatrixOfAnyKind() throws {
        let experts = [values(7, 3, 11, 5), values(5, 2, 13, 6)]
        for copies in [1, 3] {
            let set = try set(experts, copies: copies)
            let found = try set.overCounting(of: [.init(sum: [0, 1], experts: [0, 1])])[0]
            expectClose([found.coefficient, found.share], [1.3685840616, 0.2390504224])
            let spectra = try set.spectra()
            #expect(spectra.count == copies)
            for sum in spectra.map(\.sum) {
                expectClose([sum?.mean, sum?.countedTwice], [1.3685840616, 0.2390504224])
            }
        }
    }

    /// An expert of a hundredth of the other's size cannot be in the sum twice to more than some hundredths, whatever its coefficients are: of a
    /// copy 2 · 0.01 / 1.01² of the energy, otherwise as NumPy has it.
    @Test func aTinyExpertIsHardlyCounted() throws {
        let (a, b) = (values(7, 3, 11, 5), values(5, 2, 13, 6))
        for (experts, share) in [
            ([a, a], 0.5), ([a, values(7, 3, 11, 5, scale: 0.01)], 0.0196059210),
            ([a, values(5, 2, 13, 6, scale: 0.01)], 0.0037311621),
            ([values(7, 3, 11, 5, scale: 0.01), b], 0.0017228460),
        ] {
            let set = try set(experts)
            let found = try set.overCounting(of: [.init(sum: [0, 1], experts: [0, 1])])[0]
            expectClose([found.share, try set.spectra()[0].sum?.countedTwice], [share, share])
        }
    }

    @Test func whatDidNotMoveHasNoCount() throws {
        let found = try counting(
            [[0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]],
            [.init(sum: [0, 1], experts: [0, 1]), .init(sum: [0, 2], experts: [0, 2])])
        #expect(found[0].coefficient == nil && found[0].share == nil && found[0].experts == [nil, nil])
        #expect(found[1].experts[0] == nil)
        expectClose([found[1].coefficient, found[1].experts[1]], [1, 1])
    }

    @Test func whatIsNotFiniteIsNaN() throws {
        let found = try counting(
            [[.nan, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]],
            [.init(sum: [0, 1], experts: [0, 1]), .init(sum: [1, 2], experts: [1, 2])])
        #expect(found[0].coefficient?.isNaN == true && found[0].share?.isNaN == true)
        expectClose([found[1].coefficient, found[1].share], [2, 0.5])
    }

    private func expectClose(_ values: [Double?], _ expected: [Double]) {
        for (value, expected) in zip(values, expected) { #expect(abs((value ?? .nan) - expected) < 1e-6, "\(values)") }
    }
}
