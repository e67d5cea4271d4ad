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

    /// The mean over tasks of the shares of their inputs, with the interval of Wilson's test.
    ///
    /// - Parameter tasks: 1 or 0 for each input; NaN where it is not known.
    init(meanShareOf tasks: [[Double]]) {
        let shares = tasks.map { (share: $0.reduce(0, +) / Double($0.count), count: $0.count) }
        self.init(shares.reduce(0) { $0 + $1.share } / Double(shares.count), wilsonInterval(ofMean: shares))
    }

    /// The sum over tasks of the mean distances of their inputs.
    ///
    /// - Parameter tasks: the distances of each task's inputs; NaN where there is none.
    init(sumOf tasks: [[Double]], _ bootstrap: Bootstrap) {
        self.init(
            tasks.reduce(0) { $0 + $1.reduce(0, +) / Double($1.count) },
            bootstrap.interval(of: tasks, .distances, isMean: false))
    }
}
