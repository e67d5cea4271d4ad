import Glibc
import Interference
import Testing

@Suite("distances") struct DistanceTests {
    var teacher: [Float] = [0.5, -1, 2, 0.25, 1.75]
    let student: [Float] = [1.5, 0.125, -0.5, 0.75, -2]

    func value(
        _ distance: Distance, student: [Float], temperatures: Temperatures = Temperatures(),
        gradient: UnsafeMutablePointer<Float>? = nil, scale: Double = 1
    ) -> Double {
        teacher.withUnsafeBufferPointer { teacher in
            student.withUnsafeBufferPointer { student in
                guard let t = teacher.baseAddress, let s = student.baseAddress else { return .nan }
                return distance.value(
                    teacher: t, student: s, K: student.count, temperatures: temperatures, gradient: gradient,
                    scale: scale)
            }
        }
    }

    @Test("values as the definitions have them")
    func values() {
        func softmax(_ x: [Float]) -> [Double] {
            let e = x.map { exp(Double($0)) }
            return e.map { $0 / e.reduce(0, +) }
        }
        let (p, q) = (softmax(teacher), softmax(student))
        func divergence(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * log($1.0 / $1.1) } }
        #expect(abs(value(.kl, student: student) - divergence(p, q)) < 1e-12)
        #expect(abs(value(.reverseKL, student: student) - divergence(q, p)) < 1e-12)
        // The teacher's largest logit is the third.
        #expect(abs(value(.crossEntropy, student: student) + log(q[2])) < 1e-12)
        // (1 + 1.265625 + 6.25 + 0.25 + 14.0625) / 5
        #expect(abs(value(.mse, student: student) - 4.565_625) < 1e-12)
        for distance in Distance.allCases where distance != .crossEntropy {
            #expect(value(distance, student: teacher) == 0)
        }
    }

    @Test("temperatures divide the logits before anything else")
    func temperatures() {
        func over(_ logits: [Float], _ temperature: Float) -> [Float] { logits.map { $0 / temperature } }
        // Powers of two, so that quotients are exact.
        let temperatures = Temperatures(teacher: 4, student: 0.5)
        let divided = DistanceTests(teacher: over(teacher, 4))
        for distance in Distance.allCases {
            let found = value(distance, student: student, temperatures: temperatures)
            #expect(abs(found - divided.value(distance, student: over(student, 0.5))) < 1e-12)
        }
    }

    @Test(
        "gradients against central differences", arguments: Distance.allCases,
        [Temperatures(), Temperatures(teacher: 2, student: 3), Temperatures(teacher: 10, student: 0.7)])
    func gradients(_ distance: Distance, temperatures: Temperatures) {
        func value(_ distance: Distance, student: [Float]) -> Double {
            self.value(distance, student: student, temperatures: temperatures)
        }
        var gradient = [Float](repeating: .nan, count: 5)
        _ = gradient.withUnsafeMutableBufferPointer {
            self.value(
                distance, student: student, temperatures: temperatures, gradient: $0.baseAddress, scale: 0.75)
        }
        for k in student.indices {
            // Steps of a power of two are exact in single precision.
            let step: Float = 0x1p-10
            var (up, down) = (student, student)
            up[k] += step
            down[k] -= step
            let difference = (value(distance, student: up) - value(distance, student: down)) / (2 * Double(step))
            #expect(abs(Double(gradient[k]) - 0.75 * difference) < 1e-6)
        }
    }

    @Test(
        "logits that overflow have no distance, on either side, and no gradient", arguments: Distance.allCases,
        [Float.nan, .infinity, -.infinity])
    func overflow(_ distance: Distance, poison: Float) {
        for place in student.indices {
            var spoilt = student
            spoilt[place] = poison
            var gradient = [Float](repeating: 0, count: 5)
            let found = gradient.withUnsafeMutableBufferPointer {
                value(distance, student: spoilt, gradient: $0.baseAddress)
            }
            #expect(found.isNaN && gradient.allSatisfy(\.isNaN))
            #expect(distance.value(teacher: spoilt, student: student, K: 5).isNaN)
        }
    }

    @Test("large logits stay finite")
    func extremes() {
        #expect(value(.kl, student: [3e4, -3e4, 0, 1, 2]).isFinite)
        #expect(value(.reverseKL, student: [3e4, -3e4, 0, 1, 2]).isFinite)
    }
}
