import Glibc

/// A colour of the sRGB space.
struct Colour: Hashable {
    /// From 0 to 255.
    let red, green, blue: Double

    /// Takes `0xRRGGBB`.
    init(_ code: UInt32) {
        self.init(red: Double(code >> 16 & 0xFF), green: Double(code >> 8 & 0xFF), blue: Double(code & 0xFF))
    }

    private init(red: Double, green: Double, blue: Double) {
        (self.red, self.green, self.blue) = (red.rounded(), green.rounded(), blue.rounded())
    }

    /// As CSS has it: `#1f6fb4`.
    var css: String {
        let digits = String(UInt32(red) << 16 | UInt32(green) << 8 | UInt32(blue), radix: 16)
        return "#" + String(repeating: "0", count: 6 - digits.count) + digits
    }

    /// The share of white's light, by WCAG 2.2.
    var luminance: Double {
        func linear(_ part: Double) -> Double {
            let share = part / 255
            return share <= 0.04045 ? share / 12.92 : pow((share + 0.055) / 1.055, 2.4)
        }
        return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
    }

    /// Black or white, whichever is read better on this colour: at 0.179 both have a contrast of 4.58.
    var ink: Colour { luminance > 0.179 ? Colour(0x000000) : Colour(0xFFFFFF) }

    /// So many colours from the first of several to the last, through all of them.
    static func ramp(_ stops: [Colour], count: Int) -> [Colour] {
        (0..<count).map { step in
            let place = Double(step) / Double(count - 1) * Double(stops.count - 1)
            let stop = min(Int(place), stops.count - 2)
            let (from, to, share) = (stops[stop], stops[stop + 1], place - Double(stop))
            func mix(_ part: KeyPath<Colour, Double>) -> Double {
                from[keyPath: part] + share * (to[keyPath: part] - from[keyPath: part])
            }
            return Colour(red: mix(\.red), green: mix(\.green), blue: mix(\.blue))
        }
    }
}
