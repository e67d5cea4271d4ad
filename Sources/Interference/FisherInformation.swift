// The diagonal of the Fisher information of a classifier: how much what it says of inputs depends on every parameter.
//
//     F = Σ_x Σ_y p(y|x) (∂ log p(y|x) / ∂θ)²        p the softmax of the logits under the head; no labels are needed
//     drawn classes: Σ_x (∂ log p(y|x) / ∂θ)², y drawn from p(·|x), which is the same on average
//
// Matena, Raffel 2022, "Merging models with Fisher-weighted averaging", arXiv:2111.09832. One pass forward for each input, and one
// backward for each class, or one with drawn classes. Squares are taken of the gradient of one input and class, and added up in F64.

import Glibc
public import Kernels
public import Networks
public import TensorCore

/// The sum of squared gradients over inputs.
public final class FisherInformation {
    /// The classes whose gradients are taken.
    public enum Classes: Sendable, Hashable {
        /// All, each as probable as the model says.
        case all
        /// One for each input, drawn with the model's probabilities.
        case drawn(seed: UInt64)
    }

    /// `[1, parameters]`
    public let squares: Matrix<Double>
    private let bank: HeadBank
    private let classes: Classes
    private let workspace: any NetworkWorkspace
    private let gradient: FloatBuffer

    /// The bytes that adding up takes, and the means at its end.
    public static func byteCount(_ network: any Network, inputs: InputSet) -> Int {
        let activations = network.activationCount(
            capacity: 1, tokenCount: network.tokenCount(of: inputs), purpose: .training)
        let total = 16 * Double(network.parameterCount) + 4 * Double(activations)
        return total < Double(Int.max) ? Int(total) : .max
    }

    /// Begins with a sum of nothing.
    ///
    /// - Parameter inputs: of the kind and size that will be added.
    /// - Throws: `NetworkError` when the head does not fit; `NetworkError`, `IOError`, `DecompositionError` when memory is short.
    public init(_ network: any Network, head: TaskHead, classes: Classes, inputs: InputSet) throws {
        try network.check(head.head, name: head.name)
        bank = HeadBank([head.head])
        self.classes = classes
        squares = try Matrix(rows: 1, columns: network.parameterCount)
        gradient = try FloatBuffer(count: network.parameterCount)
        workspace = try network.workspace(
            capacity: 1, tokenCount: network.tokenCount(of: inputs), purpose: .training)
    }

    /// Adds one input.
    ///
    /// - Parameters:
    ///   - row: of the input in its set.
    ///   - number: of the input among all, which chooses the class where one is drawn.
    /// - Throws: `interference.diverged` when logits are not finite.
    public func add(parameters: FloatBuffer, _ inputs: InputSet, row: Int, number: Int, threads: Int) throws {
        let (C, K) = (bank.width, bank.classCount)
        var logits = [Float](repeating: 0, count: K)
        var inverseNorm: Float = 0
        // Of the workspace, and stays as it is until the next pass forward.
        let features = withUnsafePointer(to: row) { row in
            Team.lead(of: threads) {
                workspace.forward(
                    parameters.pointer, inputs, rows: UnsafeBufferPointer(start: row, count: 1))
            }
        }
        logits.withUnsafeMutableBufferPointer { logits in
            bank.forward(logits.baseAddress!, inverseNorms: &inverseNorm, features: features, B: 1)
        }
        guard logits.allSatisfy(\.isFinite) else {
            throw InterferenceError(.diverged, "the logits of input \(number) are not finite")
        }
        let probabilities = Self.softmax(logits)
        var dLogits = [Float](repeating: 0, count: K)
        var dFeatures = [Float](repeating: 0, count: C)
        for (weight, chosen) in weights(of: probabilities, number: number) {
            // The gradient of log p(chosen).
            for k in 0..<K { dLogits[k] = Float((k == chosen ? 1 : 0) - probabilities[k]) }
            bank.backward(
                dFeatures: &dFeatures, dLogits: &dLogits, logits: logits, features: features,
                inverseNorms: &inverseNorm, B: 1)
            addSquares(parameters, dFeatures, weight: weight, threads: threads)
        }
    }

    private func addSquares(_ parameters: FloatBuffer, _ dFeatures: [Float], weight: Double, threads: Int) {
        let (g, sum, count) = (gradient.pointer, squares.pointer, gradient.count)
        Team.lead(of: threads) {
            share(rows: count, grain: Self.grain) { (g + $0.lowerBound).update(repeating: 0, count: $0.count) }
            workspace.backward(parameters.pointer, dFeatures: dFeatures, grads: g)
            share(rows: count, grain: Self.grain) { range in
                for i in range { sum[i] += weight * Double(g[i]) * Double(g[i]) }
            }
        }
    }

    /// Numbers that a thread takes at a time.
    private static let grain = 1 << 16

    /// The classes whose gradients are taken, and what their squares are multiplied by.
    private func weights(of probabilities: [Double], number: Int) -> [(weight: Double, chosen: Int)] {
        switch classes {
        case .all: return probabilities.enumerated().filter { $1 > 0 }.map { ($1, $0) }
        case .drawn(let seed):
            let draw = CounterGenerator(seed: seed, stream: 0).uniform(UInt64(number))
            var sum = 0.0
            let chosen = probabilities.firstIndex { probability in
                sum += probability
                return draw < sum
            }
            return [(1, chosen ?? probabilities.count - 1)]
        }
    }

    private static func softmax(_ logits: [Float]) -> [Double] {
        let largest = Double(logits.max() ?? 0)
        let values = logits.map { exp(Double($0) - largest) }
        let sum = values.reduce(0, +)
        return values.map { $0 / sum }
    }
}

extension FisherInformation: InputStatistics {
    package var chunkSize: Int { 8 }

    package func add(_ chunk: LoadedInputs, first: Int, parameters: FloatBuffer, threads: Int) throws {
        for (place, row) in chunk.rows.enumerated() {
            try add(parameters: parameters, chunk.inputs, row: row, number: first + place, threads: threads)
        }
    }
}
