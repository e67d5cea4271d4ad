package import TensorCore

/// The loss on the auxiliary inputs that are kept out of training, at one point of an adaptation.
public struct HeldOutLoss: Sendable, Hashable {
    /// As many steps had been taken.
    public let step: Int
    public let loss: Double

    package init(step: Int, loss: Double) {
        self.step = step
        self.loss = loss
    }
}

/// What early stopping decides by: the losses on held-out inputs so far, and the student that had the lowest.
package struct HeldOutChecks: Sendable {
    package private(set) var losses: [HeldOutLoss]
    /// The parameters at the lowest loss, of the network's layout.
    package let best: FloatBuffer

    /// Takes memory for a student.
    ///
    /// - Throws: `IOError` when it is short.
    package init(parameterCount: Int, losses: [HeldOutLoss] = []) throws(IOError) {
        self.losses = losses
        best = try FloatBuffer(count: parameterCount)
    }

    /// Where the lowest loss was, the first of equals.
    private var bestPlace: Int? { losses.indices.min { losses[$0].loss < losses[$1].loss } }

    /// The step that the best student had reached.
    var keptStep: Int? { bestPlace.map { losses[$0].step } }

    /// Notes a loss, and keeps the student if there was no lower one.
    mutating func add(_ loss: HeldOutLoss, of parameters: FloatBuffer) {
        losses.append(loss)
        if bestPlace == losses.count - 1 { _ = best.values.update(from: parameters.values) }
    }

    /// Whether as many losses in a row as patience allows were no lower than the best before them.
    func hasPlateau(patience: Int) -> Bool {
        bestPlace.map { losses.count - 1 - $0 >= patience } ?? false
    }
}
