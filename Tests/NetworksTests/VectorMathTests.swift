import Glibc
import Kernels
import Networks
import Testing

/// Against the C library in double precision.
@Suite("vector maths") struct VectorMathTests {
    let points = stride(from: -12.0, through: 12, by: 0.000_37).map(Float.init)

    @Test("the exponential function is within two units in the last place")
    func exponentials() {
        let worst = stride(from: -87.0, through: 88, by: 0.0013).map(Float.init).reduce(0.0) { worst, x in
            let exact = exp(Double(x))
            return max(worst, abs(Double(exponential(x)) - exact) / Double(Float(exact).ulp))
        }
        #expect(worst < 2)
        #expect(exponential(0) == 1)
        #expect(exponential(-1000) < 2e-38 && exponential(1000).isFinite)
        #expect(exponential(.nan).isNaN)
    }

    @Test("the normal distribution is within 1e-7, and erf from it within 2e-7")
    func normal() {
        var worst = 0.0
        for x in points {
            let (probability, bell) = normalDistribution(x)
            worst = max(worst, abs(Double(probability) - 0.5 * erfc(-Double(x) / 2.0.squareRoot())))
            #expect(abs(Double(bell) - exp(-0.5 * Double(x) * Double(x))) < 1e-7)
        }
        #expect(worst < 1e-7)
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
        var values = points
        var slopes = [Float](repeating: .nan, count: values.count)
        values.withUnsafeMutableBufferPointer { values in
            slopes.withUnsafeMutableBufferPointer { slopes in
                guard let x = values.baseAddress, let slope = slopes.baseAddress else { return }
                activationForward(x, slope: slope, N: values.count, activation)
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
