import Kernels
import Synchronization
import TensorCore

/// The vectors of one tensor that a method compares by length and angle.
struct VectorSet: Sendable {
    enum Members {
        /// The experts themselves.
        case experts
        /// The base, then the experts.
        case baseAndExperts
        /// What the experts changed, on top of the base; the experts themselves in a merge without a base.
        case taskVectors
    }

    /// Which elements of a tensor are one vector.
    enum Layout {
        case wholeTensor
        /// Runs of the last dimension.
        case rows
        /// Elements with the same place in every slice of the first dimension.
        case columns
    }

    let members: Members
    /// Members of the set.
    let count: Int
    /// Vectors in a tensor, and elements from one element of a vector to the next.
    let vectorCount: Int
    private let layout: Layout
    /// Elements of a row.
    private let rowLength: Int

    init(_ members: Members, expertCount: Int, shape: Shape, elementCount: Int, layout: Layout) {
        self.members = members
        count = expertCount + (members == .baseAndExperts ? 1 : 0)
        rowLength = max(layout == .rows ? shape.dims.last ?? 1 : 1, 1)
        vectorCount =
            switch layout {
            case .wholeTensor: 1
            case .rows: max(elementCount / rowLength, 1)
            case .columns: max(elementCount / max(shape.dims.first ?? 1, 1), 1)
            }
        self.layout = vectorCount == 1 ? .wholeTensor : layout
    }

    /// Cuts a range of flat indices into runs: within one vector, or of one element of neighbouring vectors each.
    ///
    /// - Parameter body: gets the offset from the range's start, the length and the number of the first vector.
    @inline(__always)
    func forEachRun(in range: Range<Int>, _ body: (_ offset: Int, _ length: Int, _ vector: Int) -> Void) {
        var index = range.lowerBound
        while index < range.upperBound {
            let end: Int
            let vector: Int
            switch layout {
            case .wholeTensor: (end, vector) = (range.upperBound, 0)
            case .rows: (end, vector) = ((index / rowLength + 1) * rowLength, index / rowLength)
            case .columns: (end, vector) = ((index / vectorCount + 1) * vectorCount, index % vectorCount)
            }
            let length = min(end, range.upperBound) - index
            body(index - range.lowerBound, length, vector)
            index += length
        }
    }

    /// Whether the elements of a run belong to vectors of their own.
    var isAcrossVectors: Bool { layout == .columns }

    /// The numbers of the vectors that a range of flat indices touches.
    func vectors(in range: Range<Int>) -> Range<Int> {
        layout == .rows ? range.lowerBound / rowLength..<(range.upperBound - 1) / rowLength + 1 : 0..<vectorCount
    }

    /// Reads the members of a block, each into a row of its own.
    ///
    /// - Parameter base: a row that holds the base afterwards if the members are task vectors of one.
    /// - Returns: whether the base has to be added to what is made of the members.
    @inline(__always)
    func read<T>(
        _ block: MergeBlock<T>, into rows: [UnsafeMutablePointer<T>], base: UnsafeMutablePointer<T>
    ) -> Bool {
        let isRelative = members == .taskVectors && block.chunk.base != nil
        let first = members == .baseAndExperts ? 1 : 0
        if first == 1 { block.readBase(into: rows[0]) }
        if isRelative { block.readBase(into: base) }
        for expert in 0..<block.expertCount {
            block.readExpert(expert, into: rows[first + expert])
            if isRelative { subtract(base, from: rows[first + expert], count: block.count) }
        }
        return isRelative
    }
}

/// The inner products of a set of vectors.
struct GramMatrix {
    let count: Int
    /// Rows of the upper triangle, one after the other.
    var products: [Double]

    static func productCount(_ count: Int) -> Int { count * (count + 1) / 2 }

    static func place(_ i: Int, _ j: Int, count: Int) -> Int {
        let (low, high) = (min(i, j), max(i, j))
        return low * count - low * (low - 1) / 2 + high - low
    }

    subscript(i: Int, j: Int) -> Double { products[Self.place(i, j, count: count)] }

    func norm(_ i: Int) -> Double { self[i, i].squareRoot() }

    /// ⟨v_i, Σ c_k v_k⟩ for every i.
    func products(with coefficients: [Double]) -> [Double] {
        (0..<count).map { i in (0..<count).reduce(0) { $0 + self[i, $1] * coefficients[$1] } }
    }

    /// ‖Σ c_k v_k‖; rounding below zero counts as zero.
    func norm(of coefficients: [Double]) -> Double {
        max(0, zip(coefficients, products(with: coefficients)).reduce(0) { $0 + $1.0 * $1.1 }).squareRoot()
    }
}

/// Measures lengths and angles in one pass and turns them into the coefficients of a sum of the vectors.
///
/// Chunks add up in their order, so that the result is the same in every order of work.
final class GramSurvey: MergeSurvey {
    let vectors: VectorSet
    private let formula: @Sendable (GramMatrix) -> [Double]
    private let state: Mutex<State>

    private struct State {
        /// Products of all vectors: the first product of each vector, then the second, and so on.
        var sums: [Double] = []
        /// Chunks up to here are in the sums; later ones wait.
        var nextChunk = 0
        var waiting: [Int: [Double]] = [:]
        /// For each member a coefficient for every vector.
        var coefficients: [[Double]] = []
    }

    init(_ vectors: VectorSet, _ formula: @escaping @Sendable (GramMatrix) -> [Double]) {
        self.vectors = vectors
        self.formula = formula
        state = Mutex(State())
    }

    var passCount: Int { 1 }
    var byteCount: Int { 8 * vectors.vectorCount * (GramMatrix.productCount(vectors.count) + vectors.count) }

    var scratchByteCount: Int { (vectors.count + 1) * mergeBlockCapacity * MemoryLayout<Double>.stride }

    /// For each member a coefficient for every vector, after the pass.
    var coefficients: [[Double]] { state.withLock { $0.coefficients } }

    func observe(_ chunk: MergeChunk, pass: Int) {
        if chunk.needsDouble { observe(chunk, in: Double.self) } else { observe(chunk, in: Float.self) }
    }

    private func observe<T: ElementwiseScalar>(_ chunk: MergeChunk, in scalar: T.Type) {
        let touched = vectors.vectors(in: chunk.range)
        var sums = [Double](repeating: 0, count: GramMatrix.productCount(vectors.count) * touched.count)
        withUnsafeTemporaryAllocation(of: T.self, capacity: (vectors.count + 1) * mergeBlockCapacity) { memory in
            let rows = (0..<vectors.count).map { memory.baseAddress! + $0 * mergeBlockCapacity }
            let base = memory.baseAddress! + vectors.count * mergeBlockCapacity
            sums.withUnsafeMutableBufferPointer { sums in
                chunk.forEachBlock { offset, count in
                    let block = MergeBlock(chunk: chunk, offset: offset, count: count, result: base, scratch: base)
                    _ = vectors.read(block, into: rows, base: base)
                    vectors.forEachRun(in: block.start..<block.start + count) { offset, length, vector in
                        var target = sums.baseAddress! + (vector - touched.lowerBound)
                        for i in 0..<rows.count {
                            for j in i..<rows.count {
                                if vectors.isAcrossVectors {
                                    addProducts(rows[i] + offset, rows[j] + offset, count: length, to: target)
                                } else {
                                    target.pointee += innerProduct(rows[i] + offset, rows[j] + offset, count: length)
                                }
                                target += touched.count
                            }
                        }
                    }
                }
            }
        }
        absorb(sums, of: chunk.number, firstVector: touched.lowerBound)
    }

    private func absorb(_ sums: [Double], of chunk: Int, firstVector: Int) {
        let productCount = GramMatrix.productCount(vectors.count)
        state.withLock { state in
            if state.sums.isEmpty { state.sums = Array(repeating: 0, count: productCount * vectors.vectorCount) }
            state.waiting[chunk] = [Double(firstVector)] + sums
            while let next = state.waiting.removeValue(forKey: state.nextChunk) {
                let first = Int(next[0])
                let count = (next.count - 1) / productCount
                for product in 0..<productCount {
                    let target = product * vectors.vectorCount + first
                    for k in 0..<count { state.sums[target + k] += next[1 + product * count + k] }
                }
                state.nextChunk += 1
            }
        }
    }

    func finish(pass: Int) {
        state.withLock { state in
            guard !state.sums.isEmpty else { return }
            var gram = GramMatrix(
                count: vectors.count, products: Array(repeating: 0, count: GramMatrix.productCount(vectors.count)))
            var coefficients = Array(
                repeating: [Double](repeating: 0, count: vectors.vectorCount), count: vectors.count)
            for vector in 0..<vectors.vectorCount {
                for k in gram.products.indices { gram.products[k] = state.sums[k * vectors.vectorCount + vector] }
                for (member, value) in formula(gram).enumerated() { coefficients[member][vector] = value }
            }
            state.coefficients = coefficients
            state.sums = []
        }
    }
}

/// Σ x_i y_i in F64, in four sums that the compiler can keep side by side.
@inline(__always)
func innerProduct<T: ElementwiseScalar>(_ x: UnsafePointer<T>, _ y: UnsafePointer<T>, count: Int) -> Double {
    var (a, b, c, d) = (0.0, 0.0, 0.0, 0.0)
    var i = 0
    while i + 4 <= count {
        a += Double(x[i]) * Double(y[i])
        b += Double(x[i + 1]) * Double(y[i + 1])
        c += Double(x[i + 2]) * Double(y[i + 2])
        d += Double(x[i + 3]) * Double(y[i + 3])
        i += 4
    }
    while i < count {
        a += Double(x[i]) * Double(y[i])
        i += 1
    }
    return (a + b) + (c + d)
}

/// `sums[i] += x_i y_i` in F64.
@inline(__always)
private func addProducts<T: ElementwiseScalar>(
    _ x: UnsafePointer<T>, _ y: UnsafePointer<T>, count: Int, to sums: UnsafeMutablePointer<Double>
) {
    for i in 0..<count { sums[i] += Double(x[i]) * Double(y[i]) }
}

extension MergeRule {
    /// A sum of vectors with the coefficients that a formula makes of their lengths and angles.
    static func combination(
        of vectors: VectorSet, _ formula: @escaping @Sendable (GramMatrix) -> [Double]
    ) -> MergeRule {
        .surveyed { _ in VectorCombination(gram: GramSurvey(vectors, formula)) }
    }
}

/// Σ c_i v_i, on top of the base when the vectors are task vectors; the coefficients come from a survey.
struct VectorCombination: ElementwiseRule {
    let gram: GramSurvey

    var survey: (any MergeSurvey)? { gram }
    var readsBase: Bool { gram.vectors.members != .experts }
    func scratchRowCount(expertCount: Int) -> Int { gram.vectors.count + 1 }
    func merge(_ block: MergeBlock<Float>) { mergeAny(block) }
    func merge(_ block: MergeBlock<Double>) { mergeAny(block) }

    @inline(__always)
    private func mergeAny<T>(_ block: MergeBlock<T>) {
        let vectors = gram.vectors
        let rows = (0..<vectors.count).map { block.row($0) }
        let base = block.row(vectors.count)
        let isRelative = vectors.read(block, into: rows, base: base)
        let coefficients = gram.coefficients
        block.result.update(repeating: 0, count: block.count)
        vectors.forEachRun(in: block.start..<block.start + block.count) { offset, length, vector in
            let result = block.result + offset
            for member in rows.indices {
                let values = rows[member] + offset
                if vectors.isAcrossVectors {
                    coefficients[member].withUnsafeBufferPointer { coefficients in
                        for i in 0..<length { result[i] += T(coefficients[vector + i]) * values[i] }
                    }
                } else {
                    add(to: result, scaled: values, by: T(coefficients[member][vector]), count: length)
                }
            }
        }
        if isRelative {
            for i in 0..<block.count { block.result[i] += base[i] }
        }
    }
}
