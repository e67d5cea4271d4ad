/// Which auxiliary inputs are trained on, and which are kept out to tell when to stop.
struct AuxiliarySplit: Sendable {
    /// Ascending.
    let training: [Int]
    /// Evenly spread over all inputs, so that a set sorted by kind gives some of every kind.
    let heldOut: [Int]

    /// Divides inputs.
    ///
    /// - Throws: `InterferenceError` `interference.bad_option` when there is one input, and one is to be kept out.
    init(inputCount: Int, options: ResolverOptions) throws(InterferenceError) {
        guard options.patience > 0 else {
            (training, heldOut) = (Array(0..<inputCount), [])
            return
        }
        guard inputCount > 1 else {
            throw InterferenceError(
                .badOption, "there is one auxiliary input, and patience needs others to look at",
                hint: "give more auxiliary inputs, or leave patience out")
        }
        let count = min(max(1, Int((options.holdout * Double(inputCount)).rounded())), inputCount - 1)
        heldOut = (0..<count).map { $0 * inputCount / count }
        var isHeldOut = [Bool](repeating: false, count: inputCount)
        for row in heldOut { isHeldOut[row] = true }
        training = isHeldOut.indices.filter { !isHeldOut[$0] }
    }
}
