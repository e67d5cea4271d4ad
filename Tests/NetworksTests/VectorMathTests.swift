import Glibc
import Kernels
import Networks
import Testing

/// Against the C library in double precision.
@Suite("vector maths") struct VectorMathTests {
    let points = stride(from: -12.0, through: 12, by: 0.000_37).map(Float.init)

    @Test("the exponential function is within two units in the last place")
    func exponential() {
        let points = stride(from: -87.0, through: 88, by: 0.0013).map(Float.init)
        let worst = zip(points, Self.exponentials(points)).reduce(0.0) { worst, pair in
            let exact = exp(Double(pair.0))
            return max(worst, abs(Double(pair.1) - exact) / Double(Float(exact).ulp))
        }
        #expect(worst < 2)
        let ends = Self.exponentials([0, -1000, 1000, .nan])
        #expect(ends[0] == 1 && ends[1] < 2e-38 && ends[2].isFinite && ends[3].isNaN)
    }

    private static func exponentials(_ points: [Float]) -> [Float] {
        var values = points
        values.withUnsafeMutableBufferPointer { values in
            guard let x = values.baseAddress else { return }
            Kernels.exponentials(x, values.count)
        }
        return values
    }

    @Test("the normal distribution is within 1e-7, and erf from it within 2e-7")
    func normal() {
        var values = points
        var bells = [Float](repeating: .nan, count: points.count)
        values.withUnsafeMutableBufferPointer { values in
            bells.withUnsafeMutableBufferPointer { bells in
                guard let x = values.baseAddress, let bell = bells.baseAddress else { return }
                normalDistribution(x, bell: bell, values.count)
            }
        }
        var (worst, worstBell) = (0.0, 0.0)
        for (index, point) in points.enumerated() {
            let x = Double(point)
            worst = max(worst, abs(Double(values[index]) - 0.5 * erfc(-x / 2.0.squareRoot())))
            worstBell = max(worstBell, abs(Double(bells[index]) - exp(-0.5 * x * x)))
        }
        #expect(worst < 1e-7)
        #expect(worstBell < 1e-7)
    }

    @Test("activations and their derivatives", arguments: Activation.allCases)
    func activations(_ activation: Activation) {
        func exact(_ x: Double) -> Double {
            switch activation {
            case .gelu: 0.5 * x * (1 + erf(x / 2.0.squareRoot()))
            case .geluTanh: 0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
            case .quickGELU: x / (1 + exp(-1.702 * x))
            case .relu: max(x, 0)
            }
        }
        var values = [Float](repeating: .nan, count: points.count)
        var slopes = [Float](repeating: 1, count: points.count)
        points.withUnsafeBufferPointer { points in
            values.withUnsafeMutableBufferPointer { values in
                slopes.withUnsafeMutableBufferPointer { slopes in
                    guard let x = points.baseAddress, let out = values.baseAddress, let slope = slopes.baseAddress
                    else { return }
                    activationForward(out, x, N: points.count, activation)
                    activationBackward(slope, x, N: points.count, activation)
                }
            }
        }
        var (worst, worstSlope) = (0.0, 0.0)
        for (index, point) in points.enumerated() {
            let x = Double(point)
            worst = max(worst, abs(Double(values[index]) - exact(x)) / max(1, abs(x)))
            // The rectifier has no derivative at 0.
            guard activation != .relu || x != 0 else { continue }
            let difference = (exact(x + 1e-5) - exact(x - 1e-5)) / 2e-5
            worstSlope = max(worstSlope, abs(Double(slopes[index]) - difference))
        }
        #expect(worst < 2e-7)
        #expect(worstSlope < 1e-6)
    }
}
