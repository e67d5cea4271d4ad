import Foundation
import Reporting
import Testing

/// The colours that a page has, read from its style; contrast by WCAG 2.2, sight without a kind of cone by Machado et al. 2009.
@Suite struct PageColourTests {
    private struct Scheme {
        let properties: [String: Colour]
        /// The colours of cells and of the figures in them, by class.
        let cells: [String: (fill: Colour, ink: Colour)]
        var things: [Colour] { properties.filter { $0.key.contains(/^t\d$/) }.sorted { $0.key < $1.key }.map(\.value) }

        init(_ style: Substring) {
            let properties = style.matches(of: /--(\w+):#([0-9a-f]{6})/).map { (String($0.1), Colour($0.2)) }
            self.properties = Dictionary(properties, uniquingKeysWith: { $1 })
            let cells = style.matches(
                of: /\.([qd]\d+) rect\{fill:#([0-9a-f]{6})\}\.[qd]\d+ text\{fill:#([0-9a-f]{6})\}/)
            self.cells = Dictionary(
                cells.map { (String($0.1), (Colour($0.2), Colour($0.3))) }, uniquingKeysWith: { $1 })
        }
    }

    private let schemes: [Scheme] = {
        let page = Report(title: "t").html
        let parts = page.split(separator: "@media screen and (prefers-color-scheme:dark){")
        let start = parts[0].firstRange(of: "id=\"pictures\"")!.upperBound
        return [Scheme(parts[0][start...]), Scheme(parts[1].split(separator: "svg{background")[0])]
    }()

    @Test func textsAndMarksStandOutInBothSchemes() throws {
        for scheme in schemes {
            let colours = scheme.properties
            let paper = try #require(colours["paper"])
            for text in ["ink", "muted"] {
                #expect(try #require(colours[text]).contrast(to: paper) >= 4.5)
                #expect(try #require(colours[text]).contrast(to: #require(colours["panel"])) >= 4.5)
            }
            for mark in ["rule", "accent"] { #expect(try #require(colours[mark]).contrast(to: paper) >= 3) }
            // Names of curves have the colours of these.
            #expect(scheme.things.count == 8)
            for thing in scheme.things { #expect(thing.contrast(to: paper) >= 4.5) }
            #expect(scheme.cells.count == 17 + 21)
            for cell in scheme.cells.values { #expect(cell.ink.contrast(to: cell.fill) >= 4.5) }
        }
    }

    /// A larger figure is further from the paper, at every step.
    @Test func heatScalesChangeInOneDirection() throws {
        for (scheme, sign) in zip(schemes, [-1.0, 1]) {
            func lights(_ letter: String, _ steps: some Sequence<Int>) throws -> [Double] {
                try steps.map { try #require(scheme.cells["\(letter)\($0)"]).fill.luminance * sign }
            }
            for lights in try [lights("q", 0...16), lights("d", 10...20), lights("d", (0...10).reversed())] {
                #expect(lights == lights.sorted())
            }
        }
    }

    /// A difference of 2.3 in CIELAB is just noticeable; things differ by six times as much for everyone.
    @Test func thingsDifferAlsoForThoseWhoLackACone() {
        let sights: [[[Double]]] = [
            [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
            [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
            [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
            [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
        ]
        for scheme in schemes {
            for sight in sights {
                let seen = scheme.things.map { $0.seen(by: sight) }
                for (number, thing) in seen.enumerated() {
                    for other in seen[..<number] {
                        let squares = zip(thing, other).map { ($0 - $1) * ($0 - $1) }
                        #expect(squares.reduce(0, +).squareRoot() >= 6 * 2.3)
                    }
                }
            }
        }
    }
}

/// A colour, with the arithmetic of the standards.
private struct Colour {
    /// Red, green and blue light from 0 to 1.
    let light: [Double]

    init(_ code: Substring) {
        let number = Int(code, radix: 16)!
        light = [16, 8, 0].map { shift in
            let share = Double(number >> shift & 0xFF) / 255
            return share <= 0.04045 ? share / 12.92 : pow((share + 0.055) / 1.055, 2.4)
        }
    }

    var luminance: Double { 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2] }

    func contrast(to other: Colour) -> Double {
        (max(luminance, other.luminance) + 0.05) / (min(luminance, other.luminance) + 0.05)
    }

    /// The place in CIELAB, white being D65.
    func seen(by sight: [[Double]]) -> [Double] {
        func product(_ matrix: [[Double]], _ vector: [Double]) -> [Double] {
            matrix.map { zip($0, vector).map(*).reduce(0, +) }
        }
        let seen = product(sight, light).map { min(max($0, 0), 1) }
        let xyz = product(
            [
                [0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
                [0.0193339, 0.1191920, 0.9503041],
            ], seen)
        let f = zip(xyz, [0.95047, 1, 1.08883]).map { value, white in
            value / white > 216.0 / 24389 ? cbrt(value / white) : (24389.0 / 27 * value / white + 16) / 116
        }
        return [116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])]
    }
}
