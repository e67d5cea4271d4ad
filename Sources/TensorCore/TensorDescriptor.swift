/// What a tensor is, without where it is stored.
public struct TensorDescriptor: Hashable, Sendable {
    public let name: TensorName
    public let dtype: DType
    public let shape: Shape
    /// The number of elements, 1 for a scalar.
    public let elementCount: Int
    /// The size of the little-endian row-major data.
    public let byteCount: Int

    /// Describes a tensor and works out its size.
    ///
    /// - Throws: `DescriptorError` when the size overflows or packed elements do not fill whole bytes.
    public init(name: TensorName, dtype: DType, shape: Shape) throws(DescriptorError) {
        let count: Int
        do { count = try shape.elementCount() } catch { throw .overflow }
        let (bits, overflow) = count.multipliedReportingOverflow(by: dtype.bitWidth)
        if overflow { throw .overflow }
        guard bits % 8 == 0 else { throw .fractionOfByte(bits: bits) }
        self.name = name
        self.dtype = dtype
        self.shape = shape
        elementCount = count
        byteCount = bits / 8
    }

    /// The same tensor under another name.
    public func renamed(_ name: TensorName) -> TensorDescriptor { TensorDescriptor(self, name: name) }

    private init(_ other: TensorDescriptor, name: TensorName) {
        self.name = name
        dtype = other.dtype
        shape = other.shape
        elementCount = other.elementCount
        byteCount = other.byteCount
    }
}

/// Why a dtype and a shape describe no tensor.
public enum DescriptorError: Error, Hashable {
    case overflow
    case fractionOfByte(bits: Int)
}
