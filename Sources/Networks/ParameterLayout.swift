import Kernels
public import TensorCore

/// Where each tensor of a network lies in its flat parameter vector.
public struct ParameterLayout: Sendable {
    /// One tensor: its name, for transformers the one that timm would give it, its shape and the range of its row-major values.
    public struct Entry: Sendable, Hashable {
        public let name: TensorName
        public let shape: Shape
        public let range: Range<Int>
    }

    /// One after the other, without gaps.
    public let entries: [Entry]
    /// The length of the flat vector.
    public let count: Int
    private let indices: [TensorName: Int]

    public subscript(name: TensorName) -> Entry? { indices[name].map { entries[$0] } }

    /// Where a tensor starts in the vector, if there is one of the name.
    func start(_ name: String) -> Int? { self[TensorName(name)]?.range.lowerBound }

    /// Where a tensor starts that every network of the kind has.
    func requiredStart(_ name: String) -> Int {
        guard let offset = start(name) else { preconditionFailure("the layout has no \(name)") }
        return offset
    }

    /// The first tensor in which a number is NaN or infinite.
    ///
    /// - Shapes: `numbers` like the parameter vector.
    package func firstNonFiniteTensor(in numbers: UnsafePointer<Float>) -> TensorName? {
        entries.first { !isFinite(numbers + $0.range.lowerBound, count: $0.range.count) }?.name
    }

    init(_ builder: Builder) {
        entries = builder.entries
        count = builder.count
        indices = Dictionary(uniqueKeysWithValues: zip(builder.entries.map(\.name), builder.entries.indices))
    }

    /// Puts one tensor after the other.
    struct Builder {
        private(set) var entries: [Entry] = []
        private(set) var count = 0

        mutating func add(_ name: String, _ dims: [Int]) {
            let size = dims.reduce(1, *)
            entries.append(Entry(name: TensorName(name), shape: Shape(dims), range: count..<count + size))
            count += size
        }

        mutating func addNorm(_ name: String, _ size: Int) {
            add(name + ".weight", [size])
            add(name + ".bias", [size])
        }

        mutating func addLinear(_ name: String, _ dims: [Int], bias: Bool = true) {
            add(name + ".weight", dims)
            if bias { add(name + ".bias", [dims[0]]) }
        }
    }
}
