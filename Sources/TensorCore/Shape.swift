/// The dimensions of a tensor, slowest first. An empty list is a scalar.
public struct Shape: Hashable, Sendable, CustomStringConvertible, ExpressibleByArrayLiteral {
    public let dims: [Int]

    /// Takes dimensions, slowest first.
    ///
    /// - Precondition: no dimension is negative.
    public init(_ dims: [Int]) {
        precondition(dims.allSatisfy { $0 >= 0 }, "a dimension is negative")
        self.dims = dims
    }

    public init(arrayLiteral elements: Int...) { self.init(elements) }

    public var rank: Int { dims.count }
    public var isMatrix: Bool { dims.count == 2 }

    /// The number of elements, 1 for a scalar.
    ///
    /// - Throws: `ShapeOverflow` when the product, taken from left to right, does not fit; a zero further right does not
    ///   save it, as in the reference implementation of safetensors.
    public func elementCount() throws(ShapeOverflow) -> Int {
        var count = 1
        for dim in dims {
            let (product, overflow) = count.multipliedReportingOverflow(by: dim)
            if overflow { throw ShapeOverflow(shape: self) }
            count = product
        }
        return count
    }

    /// `[3, 4]`, as people write shapes.
    public var description: String { "[" + dims.map(String.init).joined(separator: ", ") + "]" }
}

/// The element count or the size in bits of a shape exceeds 63 bits.
public struct ShapeOverflow: Error, Hashable {
    public let shape: Shape
}
