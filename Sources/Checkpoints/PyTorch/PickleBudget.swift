/// What the pickles of a file may take together, in memory and in time, whichever of their operations ask for it.
///
/// A step is an operation, a value, a child of a container, or some other thing that is made, copied or looked at once; what is larger,
/// such as an entry of the memo, takes more steps. A step takes at most some 30 bytes and some ten nanoseconds, so a few bytes that ask for
/// much, or many that a deflated pickle unpacks to, cost what a file of millions of bytes does.
struct PickleBudget {
    /// A checkpoint of a hundred thousand tensors takes twelve million.
    static let maximumStepCount = 24_000_000

    private var stepCount = 0

    /// Takes steps.
    ///
    /// - Returns: whether there were as many.
    mutating func spend(_ count: Int) -> Bool {
        stepCount += count
        return stepCount <= Self.maximumStepCount
    }
}
