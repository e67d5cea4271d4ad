import Kernels
import TensorCore

extension TaskVectorSet {
    /// Decomposes the task vectors of every matrix, and their sum: experts and matrices side by side.
    ///
    /// - Parameters:
    ///   - energyRank: how many singular values the top energy adds up.
    ///   - memory: bytes of working memory; a matrix that needs more is decomposed alone. Nil sets no bound.
    ///   - progress: told, from any thread, when a matrix is done; see `matrices`.
    /// - Throws: `AnalysisError` naming the tensor that cannot be decomposed, what the readers throw.
    public func spectra(
        energyRank: Int = 8, budget: ComputeBudget = ComputeBudget(), memory: Int? = nil,
        progress: @escaping @Sendable (TaskVectorMatrix) -> Void = { _ in }
    ) throws -> [TaskVectorSpectra] {
        let all = matrices
        // What LAPACK cannot count is refused before anything is read.
        for matrix in all { _ = try workingByteCount(matrix) }
        var found: [TaskVectorSpectra] = []
        while found.count < all.count {
            let rest = all[found.count...]
            var (count, byteCount) = (0, 0)
            // Enough work for all threads, as far as there is memory.
            while count < rest.count, count * (names.count + 1) < 4 * budget.threads {
                let next = try keptByteCount(rest[rest.startIndex + count])
                guard count == 0 || next <= (memory ?? .max) - byteCount else { break }
                byteCount += next
                count += 1
            }
            let batch = try SpectraBatch(
                self, Array(rest.prefix(count)), budget: budget, memory: memory.map { max(0, $0 - byteCount) })
            found += try batch.spectra(energyRank: energyRank)
            rest.prefix(count).forEach(progress)
        }
        return found
    }

    /// Bytes that one decomposition takes.
    fileprivate func workingByteCount(_ matrix: TaskVectorMatrix) throws -> Int {
        do {
            return try SingularTriplets.workingByteCount(rows: matrix.rows, columns: matrix.columns)
                + 8 * matrix.rows * matrix.columns
        } catch { throw AnalysisError(error, tensor: matrix.tensor) }
    }

    /// Triplets that are kept of each expert, at most.
    fileprivate func tripletCount(_ matrix: TaskVectorMatrix, isFull: Bool) -> Int {
        let order = min(matrix.rows, matrix.columns)
        return isFull ? order : max(1, Int(Double(order) * (1 / Double(names.count))))
    }

    fileprivate func isFull(_ matrix: TaskVectorMatrix) -> Bool {
        names.count * min(matrix.rows, matrix.columns) <= TaskVectorSpectra.fullDirectionLimit
    }

    /// Bytes that a matrix takes while its batch is worked on.
    private func keptByteCount(_ matrix: TaskVectorMatrix) throws -> Int {
        let order = min(matrix.rows, matrix.columns)
        let triplets = names.count * tripletCount(matrix, isFull: isFull(matrix)) + (names.count > 1 ? order : 0)
        return 4 * triplets * (matrix.rows + matrix.columns) + decodedByteCount(matrix.place)
    }
}

/// Matrices that are decomposed together.
private struct SpectraBatch {
    let set: TaskVectorSet
    let matrices: [TaskVectorMatrix]
    let tensors: [Int: LoadedTaskVector]
    let threads: Int
    let gate: MemoryGate
    var expertCount: Int { self.set.names.count }

    init(_ set: TaskVectorSet, _ matrices: [TaskVectorMatrix], budget: ComputeBudget, memory: Int?) throws {
        self.set = set
        self.matrices = matrices
        var tensors: [Int: LoadedTaskVector] = [:]
        for matrix in matrices where tensors[matrix.place] == nil { tensors[matrix.place] = try set.load(matrix.place) }
        self.tensors = tensors
        threads = budget.threads
        gate = MemoryGate(limit: memory ?? .max)
    }

    func spectra(energyRank: Int) throws -> [TaskVectorSpectra] {
        // Every expert, then the sum of all.
        let width = expertCount == 1 ? 1 : expertCount + 1
        let parts = try each(width) { matrix, part in try decompose(matrix, expert: part < expertCount ? part : nil) }
        // What the sum has of every expert, then what they have in common.
        let shares = try each(expertCount == 1 ? 0 : expertCount) { matrix, expert in
            let sum = parts[matrix * width + expertCount]
            return try share(matrix, of: expert, parts[matrix * width + expert], in: sum)
        }
        let overlaps = try each(1) { matrix, _ in
            try Overlaps(
                Array(parts[matrix * width..<matrix * width + expertCount]),
                strongest: set.tripletCount(matrices[matrix], isFull: false), isFull: set.isFull(matrices[matrix]))
        }
        return matrices.indices.map { place in
            let matrix = matrices[place]
            let experts = parts[place * width..<place * width + expertCount].map { part in
                part.map {
                    TaskVectorSpectra.Spectrum(
                        $0.singularValues, numericalRank: $0.numericalRank, energyRank: energyRank)
                } ?? TaskVectorSpectra.Spectrum(notFinite: min(matrix.rows, matrix.columns))
            }
            var sum: TaskVectorSpectra.Merged?
            if expertCount > 1 {
                if let triplets = parts[place * width + expertCount] {
                    let all = shares[place * expertCount..<(place + 1) * expertCount]
                    if triplets.numericalRank > 0 {
                        sum = TaskVectorSpectra.Merged(
                            Array(triplets.singularValues.prefix(triplets.numericalRank)),
                            alignmentRank: triplets.alignmentRank, Array(all))
                    }
                } else {
                    sum = TaskVectorSpectra.Merged(notFiniteOf: expertCount)
                }
            }
            return TaskVectorSpectra(
                matrix: matrix, experts: experts, interference: overlaps[place].interference,
                fullInterference: overlaps[place].fullInterference, alignments: overlaps[place].alignments, sum: sum)
        }
    }

    /// Works on so many parts of every matrix in parallel.
    private func each<R: Sendable>(_ width: Int, _ body: @Sendable (_ matrix: Int, _ part: Int) throws -> R) throws
        -> [R]
    {
        try parallelMap(count: matrices.count * width, threads: threads) { number in
            let matrix = matrices[number / width]
            do {
                let bytes = try set.workingByteCount(matrix)
                gate.enter(bytes)
                defer { gate.leave(bytes) }
                return try body(number / width, number % width)
            } catch let error as DecompositionError {
                throw AnalysisError(error, tensor: matrix.tensor)
            }
        }
    }

    /// The triplets of an expert, or of the sum of all; nil when it is not finite.
    private func decompose(_ place: Int, expert: Int?) throws -> SingularTriplets? {
        let matrix = matrices[place]
        let experts = expert.map { $0..<$0 + 1 } ?? 0..<expertCount
        guard let values = try read(matrix, experts) else { return nil }
        return try SingularTriplets(
            values, keeping: expert == nil ? .max : set.tripletCount(matrix, isFull: set.isFull(matrix)))
    }

    /// The sum of the task vectors of some experts; nil when it is not finite.
    private func read(_ matrix: TaskVectorMatrix, _ experts: Range<Int>) throws -> Matrix<Float>? {
        guard let tensor = tensors[matrix.place], !tensor.isSpoilt(experts, matrix.elements) else { return nil }
        let values = try Matrix<Float>(rows: matrix.rows, columns: matrix.columns)
        let first = matrix.elements.lowerBound
        for expert in experts {
            tensor.forEachBlock(of: expert, matrix.elements) { start, count, row in
                let target = values.pointer + (start - first)
                for i in 0..<count { target[i] += row[i] }
            }
        }
        return isFinite(values.pointer, count: values.count) ? values : nil
    }

    /// What the sum has of one expert.
    private func share(
        _ place: Int, of expert: Int, _ triplets: SingularTriplets?, in sum: SingularTriplets?
    ) throws -> TaskVectorSpectra.ExpertShare {
        let matrix = matrices[place]
        guard let triplets, let sum, sum.numericalRank > 0, let values = try read(matrix, expert..<expert + 1),
            case let norm = triplets.singularValues.reduce(0, { $0 + $1 * $1 }), norm > 0
        else {
            let directions = sum?.numericalRank ?? 0
            return .init(
                alignmentRatio: nil, coefficients: Array(repeating: nil, count: directions),
                squares: Array(repeating: 0, count: directions))
        }
        let shares = try DirectionShares(of: values, in: sum)
        let aligned = shares.squares.prefix(sum.alignmentRank).reduce(0, +)
        return .init(
            alignmentRatio: (aligned / norm).squareRoot(), coefficients: shares.coefficients, squares: shares.squares)
    }
}

extension SingularTriplets {
    /// How many directions hold 0.95² of the energy.
    fileprivate var alignmentRank: Int {
        let energies = TaskVectorSpectra.Spectrum.energies(of: singularValues)
        let total = energies.last ?? 0
        return min(numericalRank, (energies.firstIndex { ($0 / total).squareRoot() >= 0.95 } ?? 0) + 1)
    }
}

/// What the strongest directions of experts have in common.
private struct Overlaps: Sendable {
    let interference: Double?
    let fullInterference: Double?
    let alignments: [TaskVectorSpectra.Alignment]

    /// Compares the directions of experts.
    ///
    /// - Parameter experts: nil for what is not finite.
    init(_ experts: [SingularTriplets?], strongest: Int, isFull: Bool) throws {
        let known = experts.map { $0?.ut.rows ?? 0 }
        let overlaps = try DirectionOverlaps(experts, counts: known.map { min($0, strongest) })
        let isFinite = !experts.contains { $0 == nil }
        let isAlone = experts.count == 1
        interference = isAlone ? nil : isFinite ? try overlaps.interference() : .nan
        fullInterference =
            isAlone || !isFull
            ? nil : isFinite ? try DirectionOverlaps(experts, counts: known).interference() : .nan
        alignments = experts.indices.flatMap { a in
            experts.indices.dropFirst(a + 1).map { b in
                let isKnown = experts[a] != nil && experts[b] != nil
                return .init(a: a, b: b, value: isKnown ? overlaps.alignment(a, b) : .nan)
            }
        }
    }
}

/// The inner products of singular vectors, UᵀU and VᵀV.
private struct DirectionOverlaps {
    let ranges: [Range<Int>]
    let singularValues: [Double]
    let left: Matrix<Float>
    let right: Matrix<Float>
    var count: Int { singularValues.count }

    /// Multiplies the directions of all experts with each other.
    ///
    /// - Parameter counts: how many directions are taken of each.
    init(_ experts: [SingularTriplets?], counts: [Int]) throws {
        var (ranges, values) = ([Range<Int>](), [Double]())
        for (expert, count) in zip(experts, counts) {
            ranges.append(values.count..<values.count + count)
            values += expert?.singularValues.prefix(count) ?? []
        }
        (self.ranges, singularValues) = (ranges, values)
        let total = values.count
        func products(_ vectors: (SingularTriplets) -> Matrix<Float>) throws -> Matrix<Float> {
            let result = try Matrix<Float>(rows: total, columns: total)
            let columns = experts.compactMap { $0 }.first.map { vectors($0).columns } ?? 0
            let stack = try Matrix<Float>(rows: total, columns: columns)
            for (expert, range) in zip(experts, ranges) where !range.isEmpty {
                if let expert {
                    (stack.pointer + range.lowerBound * columns).update(
                        from: vectors(expert).pointer, count: range.count * columns)
                }
            }
            guard total > 0 else { return result }
            multiply(
                total, total, columns, .rows(stack.pointer, stride: columns),
                .transposed(stack.pointer, stride: columns), into: result.pointer, stride: total)
            return result
        }
        left = try products(\.ut)
        right = try products(\.vt)
    }

    /// ‖(UᵀU − I) S (VᵀV − I)‖₁. The vectors of one expert are orthonormal, whatever rounding says.
    func interference() throws -> Double {
        guard count > 0 else { return 0 }
        let scaled = try Matrix<Float>(rows: count, columns: count)
        let others = try Matrix<Float>(rows: count, columns: count)
        let product = try Matrix<Float>(rows: count, columns: count)
        for range in ranges {
            for i in range {
                for j in 0..<count where !range.contains(j) {
                    scaled.pointer[i * count + j] = left.pointer[i * count + j] * Float(singularValues[j])
                    others.pointer[i * count + j] = right.pointer[i * count + j]
                }
            }
        }
        multiply(
            count, count, count, .rows(scaled.pointer, stride: count), .rows(others.pointer, stride: count),
            into: product.pointer, stride: count)
        return product.values.reduce(0) { $0 + Double(abs($1)) }
    }

    /// ‖U_aᵀ U_b‖_F² / min(k_a, k_b)
    func alignment(_ a: Int, _ b: Int) -> Double? {
        guard !ranges[a].isEmpty, !ranges[b].isEmpty else { return nil }
        var sum = 0.0
        for i in ranges[a] {
            for j in ranges[b] {
                let product = Double(left.pointer[i * count + j])
                sum += product * product
            }
        }
        return sum / Double(min(ranges[a].count, ranges[b].count))
    }
}

extension AnalysisError {
    /// Says which tensor could not be decomposed.
    package init(_ error: DecompositionError, tensor: TensorDescriptor) {
        let (name, hint) = (tensor.name, "leave it out with --exclude")
        switch error {
        case .notFinite: preconditionFailure("what is not finite is not decomposed")
        case .tooLarge:
            self.init(.memory, "tensor \"\(name)\" \(tensor.shape) is too large to decompose", tensor: name, hint: hint)
        case .notConverged(let info):
            self.init(
                .notConverged,
                "the decomposition of tensor \"\(name)\" \(tensor.shape) did not converge (info \(info))",
                tensor: name, hint: hint)
        }
    }
}
