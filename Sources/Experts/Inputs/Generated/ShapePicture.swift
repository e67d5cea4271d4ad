// A picture that nobody has taken, for models of images where there are no images: lines, curves and forms in a few levels over a plain or
// textured ground, sometimes blurred, inverted, grainy or peppered. What is drawn and how often was written down before it was measured
// (docs/study.md): it keeps nine tenths of what images of another kind gain on the suites.
import Networks

/// Draws procedural pictures.
package struct ShapePicture {
    private let shape: ImageShape
    private let grid: ShapeGrid
    private var draws: RandomDraws
    /// One field `[H, W]` a channel, from 0 to 1.
    private var channels: [[Float]]

    /// Draws one picture.
    ///
    /// - Parameters:
    ///   - number: which of the pictures of a seed; each is drawn alone, in any order.
    package init(_ shape: ImageShape, seed: UInt64, number: Int) {
        self.shape = shape
        grid = ShapeGrid(height: shape.height, width: shape.width)
        draws = RandomDraws(seed: seed, item: number)
        channels = []
        ground()
        if !draws.chance(0.06) { marks() }
        finish()
    }

    /// The pixels, `[C, H, W]`.
    package func write(to pixels: UnsafeMutablePointer<UInt8>) {
        for (channel, field) in channels.enumerated() {
            let target = pixels + channel * field.count
            for (place, level) in field.enumerated() { target[place] = UInt8((min(max(level, 0), 1) * 255).rounded()) }
        }
    }

    /// A level as a colour, one number a channel: tinted where there are several.
    private mutating func colour(_ level: Double) -> [Float] {
        guard shape.channels > 1 else { return [Float(level)] }
        return (0..<shape.channels).map { _ in Float(min(max(level + draws.number(-0.25, 0.25), 0), 1)) }
    }

    private mutating func ground() {
        let plain = colour(draws.number(0, 0.3))
        channels = plain.map { [Float](repeating: $0, count: shape.height * shape.width) }
        guard draws.chance(0.5) else { return }
        let texture = draws.one(of: ShapeTexture.allCases).field(grid, &draws)
        for (channel, amplitude) in colour(draws.number(0.1, 0.5)).enumerated() {
            for place in texture.indices { channels[channel][place] += texture[place] * amplitude }
        }
    }

    /// Writing is strokes in one ink; forms are filled, each in a level of its own.
    private mutating func marks() {
        let ink = colour(draws.number(0.5, 1))
        let width = draws.number(0.03, 0.13)
        let isWriting = draws.chance(0.5)
        let count = draws.whole(isWriting ? 1...3 : 1...4)
        for mark in 0..<count {
            let path = ShapePath(
                draws.one(of: isWriting ? [.curve, .curve, .line, .ellipse] : [.ellipse, .polygon]), &draws)
            let paint = isWriting || mark == 0 ? ink : colour(draws.number(0, 1))
            let isFilled = !isWriting && !draws.chance(0.2)
            draw(path, paint, stroke: isFilled ? nil : width)
        }
    }

    /// Covers pixels with paint, antialiased over one pixel.
    ///
    /// - Parameter stroke: how wide the line is; nil fills what it surrounds.
    private mutating func draw(_ path: ShapePath, _ paint: [Float], stroke: Double?) {
        let margin = (stroke ?? 0) / 2 + 1 / grid.side
        let (xs, ys) = (path.points.map(\.x), path.points.map(\.y))
        let columns = grid.range((xs.min() ?? 0) - margin, (xs.max() ?? 0) + margin, shape.width)
        let rows = grid.range((ys.min() ?? 0) - margin, (ys.max() ?? 0) + margin, shape.height)
        let segments = path.segments
        for row in rows {
            for column in columns {
                let (distance, isInside) = ShapePath.distance(
                    of: (grid.x(column), grid.y(row)), from: segments, isClosed: path.isClosed)
                let signed = stroke.map { distance - $0 / 2 } ?? (isInside ? -distance : distance)
                let cover = Float(min(max(0.5 - signed * grid.side, 0), 1))
                guard cover > 0 else { continue }
                let place = row * shape.width + column
                for channel in channels.indices {
                    channels[channel][place] += (paint[channel] - channels[channel][place]) * cover
                }
            }
        }
    }

    private mutating func finish() {
        if draws.chance(0.2) { channels = channels.map(blurred) }
        if draws.chance(0.25) { channels = channels.map { $0.map { 1 - $0 } } }
        if draws.chance(0.5) {
            let grain = draws.number(0, 0.2)
            for channel in channels.indices {
                for place in channels[channel].indices { channels[channel][place] += Float(draws.normal() * grain) }
            }
        }
        guard draws.chance(0.15) else { return }
        let share = draws.number(0, 0.15)
        for place in 0..<shape.height * shape.width where draws.chance(share) {
            let level: Float = draws.chance(0.5) ? 1 : 0
            for channel in channels.indices { channels[channel][place] = level }
        }
    }

    /// Weights 1, 2, 1 over rows and columns; edges are repeated.
    private func blurred(_ field: [Float]) -> [Float] {
        let (H, W) = (shape.height, shape.width)
        func pass(_ field: [Float], _ rowStep: Int, _ columnStep: Int) -> [Float] {
            (0..<H * W).map { place in
                let (row, column) = place.quotientAndRemainder(dividingBy: W)
                let before = max(row - rowStep, 0) * W + max(column - columnStep, 0)
                let after = min(row + rowStep, H - 1) * W + min(column + columnStep, W - 1)
                return (field[before] + 2 * field[place] + field[after]) / 4
            }
        }
        return pass(pass(field, 1, 0), 0, 1)
    }
}
