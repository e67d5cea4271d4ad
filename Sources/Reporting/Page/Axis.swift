import Glibc

/// What figures become along one side of a picture: places from 0 to 1, with marks at round figures.
struct Axis {
    let kind: Report.Kind
    let isLogarithmic: Bool
    let low, high: Double
    /// Round figures in ascending order.
    private(set) var ticks: [Double] = []
    /// The distance of ticks, on axes that are not logarithmic.
    private var step = 1.0

    /// Where an axis ends.
    enum Ends {
        /// At the least and the largest figure.
        case atFigures
        /// At round figures.
        case atTicks
    }

    /// Makes an axis on which all figures have a place that are finite, and positive where it is logarithmic; nil when there are none.
    init?(_ figures: some Sequence<Double>, kind: Report.Kind, ends: Ends, isLogarithmic: Bool = false) {
        let figures = figures.filter { $0.isFinite && (!isLogarithmic || $0 > 0) }
        guard var low = figures.min(), var high = figures.max() else { return nil }
        self.kind = kind
        self.isLogarithmic = isLogarithmic
        if isLogarithmic {
            (self.low, self.high, ticks) = Self.decades(low, high)
            return
        }
        if low == high {
            let room = low == 0 ? 1 : abs(low) * 0.5
            (low, high) = (max(low - room, -.greatestFiniteMagnitude), min(high + room, .greatestFiniteMagnitude))
        }
        step = Self.roundStep(low, high)
        var (first, last) = ((low / step).rounded(.down) * step, (high / step).rounded(.up) * step)
        if ends == .atFigures || !first.isFinite || !last.isFinite {
            (first, last) = ((low / step).rounded(.up) * step, high)
            (self.low, self.high) = (low, high)
        } else {
            (self.low, self.high) = (first, last)
        }
        // Counted, so that it ends where adding a step changes nothing.
        for number in 0...12 {
            let tick = ((first / step).rounded() + Double(number)) * step
            if !tick.isFinite || tick > last + step * 1e-6 { break }
            if tick != ticks.last { ticks.append(tick) }
        }
    }

    /// The smallest of 1, 2 and 5 times a power of ten of which about five fit.
    private static func roundStep(_ low: Double, _ high: Double) -> Double {
        let least = max(high / 5 - low / 5, .leastNormalMagnitude)
        let power = pow(10, log10(least).rounded(.down))
        return ([1, 2, 5].first { $0 * power >= least * 0.999 } ?? 10) * power
    }

    /// Powers of ten, with 2 and 5 times them where there are few.
    private static func decades(_ low: Double, _ high: Double) -> (low: Double, high: Double, ticks: [Double]) {
        let (first, last) = (log10(low).rounded(.down), log10(high).rounded(.up))
        let stride = max(1, ((last - first) / 8).rounded(.up))
        let factors: [Double] = last - first > 2 ? [1] : [1, 2, 5]
        var ticks: [Double] = []
        for power in Swift.stride(from: first, through: last, by: stride) {
            ticks += factors.map { $0 * pow(10, power) }.filter { $0.isFinite && $0 > 0 }
        }
        // The nearest ticks around the figures are the ends.
        let start = ticks.last { $0 <= low } ?? low
        let end = ticks.first { $0 >= high && $0 > start } ?? high
        return (start, max(end, high), ticks.filter { $0 >= start && $0 <= end })
    }

    /// The place of a figure from 0 to 1.
    func place(_ figure: Double) -> Double {
        // Halves, of which the difference is always finite.
        let (value, low, high) = (position(figure) / 2, position(low) / 2, position(high) / 2)
        return high > low ? min(max((value - low) / (high - low), 0), 1) : 0.5
    }

    private func position(_ figure: Double) -> Double { isLogarithmic ? log10(figure) : figure }

    /// What stands at a tick.
    func label(_ tick: Double) -> String {
        switch kind {
        case .bytes where abs(tick) < 1e15: return kind.text(.integer(Int(tick)))
        case .seconds: return kind.text(.number(tick))
        case .share: return (tick * 100).decimals(decimals(of: step * 100)) + " %"
        default: break
        }
        if isLogarithmic || abs(low) >= 1e6 || abs(high) >= 1e6 || step < 1e-5 {
            let largest = log10(max(abs(low), abs(high))).rounded(.down)
            return tick.short(isLogarithmic ? 4 : Int(min(max(largest - log10(step).rounded(.down) + 1, 1), 15)))
        }
        let decimals = decimals(of: step)
        return decimals == 0 ? Int(tick.rounded()).grouped : tick.decimals(decimals)
    }

    private func decimals(of step: Double) -> Int {
        isLogarithmic ? 1 : Int(min(max(-(log10(step) + 1e-9).rounded(.down), 0), 9))
    }
}
