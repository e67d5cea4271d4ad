/// What a tensor is, without where it is stored.
public struct TensorDescriptor: Hashable, Sendable {
    public let name: TensorName
    /// How the elements lie in the tensor's bytes.
    public let layout: ElementLayout
    public let shape: Shape
    /// The number of elements, 1 for a scalar.
    public let elementCount: Int
    /// The size of the little-endian row-major data.
    public let byteCount: Int

    /// The type of the numbers; of blocks the one that they decode to, F32.
    public var dtype: DType { layout.dtype }

    /// Describes a tensor and works out its size.
    ///
    /// - Throws: `DescriptorError` when the size overflows or elements do not fill whole bytes or blocks.
    public init(name: TensorName, layout: ElementLayout, shape: Shape) throws(DescriptorError) {
        let count: Int
        do { count = try shape.elementCount() } catch { throw .overflow }
        byteCount = try layout.byteCount(elements: count)
        self.name = name
        self.layout = layout
        self.shape = shape
        elementCount = count
    }

    /// Describes a tensor of plain numbers and works out its size.
    ///
    /// - Throws: `DescriptorError` when the size overflows or packed elements do not fill whole bytes.
    public init(name: TensorName, dtype: DType, shape: Shape) throws(DescriptorError) {
        try self.init(name: name, layout: .plain(dtype), shape: shape)
    }

    /// The same tensor under another name.
    public func renamed(_ name: TensorName) -> TensorDescriptor { TensorDescriptor(self, name: name) }

    private init(_ other: TensorDescriptor, name: TensorName) {
        self.name = name
        layout = other.layout
        shape = other.shape
        elementCount = other.elementCount
        byteCount = other.byteCount
    }
}

/// Why a layout and a shape describe no tensor.
public enum DescriptorError: Error, Hashable {
    case overflow
    /// The elements do not fill whole bytes, or whole blocks.
    case partialUnit(elements: Int)
}
