/// A number that was measured on a sample of inputs, and what it lies in.
public struct Figure: Sendable, Hashable {
    public let value: Double
    /// 95 %: what intervals made like this hold, in 95 of 100 samples, is the value over all inputs that the sample was drawn from; nil when
    /// the value is not finite.
    public let interval: ClosedRange<Double>?

    init(_ value: Double, _ interval: ClosedRange<Double>?) {
        self.value = value
        self.interval = interval
    }

    /// A share of one task's inputs, with the interval of Wilson.
    ///
    /// - Parameter hits: 1 or 0 for each input; NaN where it is not known.
    init(shareOf hits: [Double]) {
        let share = hits.reduce(0, +) / Double(hits.count)
        self.init(share, wilsonInterval(of: share, count: hits.count))
    }

    /// The mean or the sum over tasks of the means of their inputs.
    ///
    /// - Parameter tasks: the values of each task's inputs; NaN where there is none.
    init(of tasks: [[Double]], _ kind: Bootstrap.Values, isMean: Bool, _ bootstrap: Bootstrap) {
        let sum = tasks.reduce(0) { $0 + $1.reduce(0, +) / Double($1.count) }
        self.init(isMean ? sum / Double(tasks.count) : sum, bootstrap.interval(of: tasks, kind, isMean: isMean))
    }
}
