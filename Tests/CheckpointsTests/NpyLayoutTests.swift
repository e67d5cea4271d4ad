import Checkpoints
import TensorCore
import TestSupport
import Testing

/// Column-major and big-endian data against an index-by-index transcription of NumPy's definition.
@Suite struct NpyLayoutTests {
    /// Element `(i0, i1, ...)` of column-major data stands at `i0 + i1 * d0 + i2 * d0 * d1 + ...`.
    static func rowMajor(_ columnMajor: [UInt8], dims: [Int], width: Int) -> [UInt8] {
        var result: [UInt8] = []
        let count = dims.reduce(1, *)
        for position in 0..<count {
            var rest = position
            var index = [Int](repeating: 0, count: dims.count)
            for axis in dims.indices.reversed() {
                index[axis] = rest % dims[axis]
                rest /= dims[axis]
            }
            var source = 0
            var stride = 1
            for axis in dims.indices {
                source += index[axis] * stride
                stride *= dims[axis]
            }
            result += columnMajor[source * width..<(source + 1) * width]
        }
        return result
    }

    static let shapes: [[Int]] = [
        [2, 3], [1, 7], [7, 1], [3, 4, 5], [1, 3, 1, 2], [2, 1, 3, 4], [64, 65], [129, 33], [3, 70, 67],
        [2, 3, 2, 3, 2, 3],
        [40, 3, 3, 3], [5], [], [0, 3], [3, 0, 2],
    ]

    @Test(arguments: [("u1", 1, 1), ("f2", 2, 2), ("i4", 4, 4), ("f8", 8, 8), ("c8", 8, 4), ("c16", 16, 8)])
    func decodes(_ kind: String, _ width: Int, _ scalar: Int) throws {
        var generator = NpyTestGenerator(seed: 21)
        for dims in Self.shapes {
            let count = dims.reduce(1, *)
            let data = (0..<count * width).map { _ in UInt8.random(in: 0...255, using: &generator) }
            let shape = "(" + dims.map { "\($0)," }.joined() + ")"
            for (order, isFortran) in [("True", true), ("False", false)] {
                for (byteOrder, isBig) in [("<", false), (">", true)] {
                    let text = NpyHeaderTests.header(descr: "'\(byteOrder)\(kind)'", order: order, shape: shape)
                    let reader = try NpyHeaderTests.open(NpyHeaderTests.file(text) + data)
                    var expected = isFortran ? Self.rowMajor(data, dims: dims, width: width) : data
                    if isBig {
                        for start in stride(from: 0, to: expected.count, by: scalar) {
                            expected[start..<start + scalar].reverse()
                        }
                    }
                    let bytes = try reader.bytes(of: 0).withUnsafeBytes(Array.init)
                    #expect(bytes == expected, "\(dims) \(order) \(byteOrder)")
                    for _ in 0..<8 {
                        let ends = (0..<2).map { _ in Int.random(in: 0...expected.count, using: &generator) }
                        let range = ends.min()!..<ends.max()!
                        var part = [UInt8](repeating: 0, count: range.count)
                        try part.withUnsafeMutableBytes { try reader.read(range, of: 0, into: $0) }
                        #expect(part == Array(expected[range]), "\(dims) \(order) \(byteOrder) \(range)")
                    }
                }
            }
        }
    }
}
