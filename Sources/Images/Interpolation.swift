import Glibc

/// How pixels between pixels are found, as in Pillow.
package enum Interpolation: String, Sendable, Hashable, Encodable, CaseIterable {
    /// The pixel whose square the place falls into.
    case nearest
    case bilinear
    case bicubic
    case lanczos

    /// How far the filter reaches at full size, in pixels.
    var support: Double {
        switch self {
        case .nearest: 0.5
        case .bilinear: 1
        case .bicubic: 2
        case .lanczos: 3
        }
    }

    /// The weight of a pixel at a distance.
    func weight(_ distance: Double) -> Double {
        let x = abs(distance)
        guard x < support else { return 0 }
        switch self {
        case .nearest: return 1
        case .bilinear: return 1 - x
        case .bicubic:
            // Keys 1981, a = -1/2.
            let a = -0.5
            return x < 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : (((x - 5) * x + 8) * x - 4) * a
        case .lanczos: return Self.sinc(x) * Self.sinc(x / 3)
        }
    }

    private static func sinc(_ x: Double) -> Double { x == 0 ? 1 : sin(x * .pi) / (x * .pi) }
}
