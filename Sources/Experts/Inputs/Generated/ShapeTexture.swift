import Glibc

/// A field of numbers from 0 to 1 over the ground of a procedural picture.
enum ShapeTexture: CaseIterable {
    case gradient, grating, checks, smooth

    /// The field at the centres of pixels, `[H, W]`.
    ///
    /// - Shapes: `places` where rows and columns lie in the unit square.
    func field(_ places: ShapeGrid, _ draws: inout RandomDraws) -> [Float] {
        if self == .smooth { return Self.smooth(places, &draws) }
        let turn = draws.number(0, 2 * .pi)
        let frequency = self == .gradient ? 0 : draws.number(2, 8)
        let phase = self == .grating ? draws.number(0, 1) : 0
        let (c, s) = (cos(turn), sin(turn))
        return places.map { x, y in
            let along = (x - 0.5) * c + (y - 0.5) * s
            switch self {
            case .grating: return 0.5 + 0.5 * sin(2 * .pi * (along * frequency + phase))
            case .checks:
                let across = (y - 0.5) * c - (x - 0.5) * s
                let cells = (along * frequency).rounded(.down) + (across * frequency).rounded(.down)
                return cells.truncatingRemainder(dividingBy: 2) == 0 ? 0 : 1
            case .gradient, .smooth: return min(max(0.5 + along, 0), 1)
            }
        }
    }

    /// A few uniform numbers, enlarged bilinearly.
    private static func smooth(_ places: ShapeGrid, _ draws: inout RandomDraws) -> [Float] {
        let cells = draws.whole(2...8)
        let numbers = (0..<(cells + 1) * (cells + 1)).map { _ in draws.number(0, 1) }
        return places.map { x, y in
            // Beside the square, where a picture is longer than wide, the outermost cells go on.
            let (u, v) = (min(max(x, 0), 1) * Double(cells), min(max(y, 0), 1) * Double(cells))
            let (column, row) = (min(Int(u), cells - 1), min(Int(v), cells - 1))
            let (fx, fy) = (u - Double(column), v - Double(row))
            let place = row * (cells + 1) + column
            let upper = numbers[place] * (1 - fx) + numbers[place + 1] * fx
            let lower = numbers[place + cells + 1] * (1 - fx) + numbers[place + cells + 2] * fx
            return upper * (1 - fy) + lower * fy
        }
    }
}

/// Where the centres of pixels lie: the shorter side of a picture is 1, and the unit square is in its middle.
struct ShapeGrid {
    let height: Int
    let width: Int
    /// The pixels of the shorter side.
    var side: Double { Double(min(height, width)) }

    func x(_ column: Int) -> Double { (Double(column) + 0.5 - Double(width) / 2) / side + 0.5 }
    func y(_ row: Int) -> Double { (Double(row) + 0.5 - Double(height) / 2) / side + 0.5 }

    /// A number for each pixel, row-major.
    func map(_ number: (_ x: Double, _ y: Double) -> Double) -> [Float] {
        (0..<height).flatMap { row in (0..<width).map { Float(number(x($0), y(row))) } }
    }

    /// The pixels between two places along an axis, those that are there.
    func range(_ low: Double, _ high: Double, _ length: Int) -> Range<Int> {
        func place(_ value: Double) -> Int {
            Int(min(max((value - 0.5) * side + Double(length) / 2, 0), Double(length)))
        }
        let first = place(low)
        return first..<max(first, min(length, place(high) + 1))
    }
}
