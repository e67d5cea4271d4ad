import Glibc

/// A line through points, open or closed, that a procedural picture is drawn along.
///
/// Points lie in the unit square, x to the right and y down.
struct ShapePath {
    typealias Point = (x: Double, y: Double)

    let points: [Point]
    let isClosed: Bool

    enum Kind { case ellipse, polygon, line, curve }

    init(_ kind: Kind, _ draws: inout RandomDraws) {
        isClosed = kind == .ellipse || kind == .polygon
        switch kind {
        case .ellipse: points = Self.ellipse(&draws)
        case .polygon: points = Self.polygon(&draws)
        case .line: points = Self.knots(2...5, &draws)
        case .curve: points = Self.curve(through: Self.knots(3...5, &draws))
        }
    }

    private static func ellipse(_ draws: inout RandomDraws) -> [Point] {
        let centre = (x: draws.number(0.25, 0.75), y: draws.number(0.25, 0.75))
        let long = draws.number(0.08, 0.4)
        let short = long * draws.number(0.3, 1)
        let turn = draws.number(0, .pi)
        return (0..<24).map { step in
            let angle = Double(step) * 2 * .pi / 24
            let (x, y) = (long * cos(angle), short * sin(angle))
            return (centre.x + x * cos(turn) - y * sin(turn), centre.y + x * sin(turn) + y * cos(turn))
        }
    }

    private static func polygon(_ draws: inout RandomDraws) -> [Point] {
        let corners = draws.whole(3...6)
        let centre = (x: draws.number(0.25, 0.75), y: draws.number(0.25, 0.75))
        let angles = (0..<corners).map { _ in draws.number(0, 2 * .pi) }.sorted()
        return angles.map { angle in
            let radius = draws.number(0.12, 0.45)
            return (centre.x + radius * cos(angle), centre.y + radius * sin(angle))
        }
    }

    private static func knots(_ counts: ClosedRange<Int>, _ draws: inout RandomDraws) -> [Point] {
        (0..<draws.whole(counts)).map { _ in (draws.number(0.12, 0.88), draws.number(0.12, 0.88)) }
    }

    /// Catmull and Rom's curve (1974), eight points a section; the ends are doubled.
    private static func curve(through knots: [Point]) -> [Point] {
        func between(_ p: [Double], _ t: Double) -> Double {
            0.5
                * (2 * p[1] + (p[2] - p[0]) * t + (2 * p[0] - 5 * p[1] + 4 * p[2] - p[3]) * t * t
                    + (3 * p[1] - p[0] - 3 * p[2] + p[3]) * t * t * t)
        }
        let all = knots.prefix(1) + knots + knots.suffix(1)
        let sections = (0..<knots.count - 1).flatMap { first in
            let four = all[first..<first + 4]
            return (0..<8).map { step -> Point in
                let t = Double(step) / 8
                return (between(four.map(\.x), t), between(four.map(\.y), t))
            }
        }
        return sections + knots.suffix(1)
    }

    /// The lines from point to point.
    var segments: [(from: Point, to: Point)] {
        let ends = isClosed ? Array(points.dropFirst() + points.prefix(1)) : Array(points.dropFirst())
        return zip(points, ends).map { ($0, $1) }
    }

    /// How far a place is from the path, and whether it lies inside, by the even-odd rule.
    static func distance(
        of place: Point, from segments: [(from: Point, to: Point)], isClosed: Bool
    ) -> (distance: Double, isInside: Bool) {
        var (nearest, isInside) = (Double.infinity, false)
        for (a, b) in segments {
            let (dx, dy) = (b.x - a.x, b.y - a.y)
            let along = ((place.x - a.x) * dx + (place.y - a.y) * dy) / max(dx * dx + dy * dy, 1e-12)
            let t = min(max(along, 0), 1)
            let (x, y) = (place.x - a.x - t * dx, place.y - a.y - t * dy)
            nearest = min(nearest, x * x + y * y)
            if isClosed, (a.y > place.y) != (b.y > place.y), place.x < a.x + (place.y - a.y) * dx / dy {
                isInside.toggle()
            }
        }
        return (nearest.squareRoot(), isInside)
    }
}
