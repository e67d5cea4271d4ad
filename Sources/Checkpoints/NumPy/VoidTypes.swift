public import TensorCore

/// What elements stand for whose type NumPy lost: the ml_dtypes package saves BF16 as `V2`, narrow types as `V1` and F8_E5M2 as
/// `f1`.
public struct VoidTypes: Sendable, Hashable {
    /// A `descr` that tells the size of its elements and not their type.
    public enum Element: String, Sendable, CaseIterable {
        case v1 = "V1"
        case v2 = "V2"
        case f1

        public var bitWidth: Int { self == .v2 ? 16 : 8 }
    }

    private var types: [Element: DType] = [:]

    /// Names nothing.
    public init() {}

    /// One type for all elements of its size.
    public init(_ dtype: DType) {
        for element in Element.allCases where element.bitWidth == dtype.bitWidth { types[element] = dtype }
    }

    public subscript(element: Element) -> DType? {
        get { types[element] }
        set { types[element] = newValue }
    }
}
