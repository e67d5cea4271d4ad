/// How the elements of a tensor lie in bytes: one by one, or in blocks that decode together.
public enum ElementLayout: Sendable, Hashable {
    case plain(DType)
    case blocks(BlockType)

    /// What the layout is called: `BF16`, `Q4_K`.
    public var name: String {
        switch self {
        case .plain(let dtype): dtype.rawValue
        case .blocks(let type): type.rawValue
        }
    }

    /// The type of the numbers; of blocks the one that they decode to, F32.
    public var dtype: DType {
        switch self {
        case .plain(let dtype): dtype
        case .blocks: .f32
        }
    }

    /// Whether the bytes are the numbers themselves.
    public var isPlain: Bool { if case .plain = self { true } else { false } }

    /// The fewest elements that fill whole bytes: 1, 2 or 4 of plain types, the block of others.
    public var unit: (elements: Int, bytes: Int) {
        switch self {
        case .plain(.f4): (2, 1)
        case .plain(.f6E2M3), .plain(.f6E3M2): (4, 3)
        case .plain(let dtype): (1, dtype.bitWidth / 8)
        case .blocks(let type): (type.elementCount, type.byteCount)
        }
    }

    /// The size of some elements.
    ///
    /// - Throws: `DescriptorError` when the size overflows, or elements do not fill whole bytes or blocks.
    public func byteCount(elements: Int) throws(DescriptorError) -> Int {
        switch self {
        case .plain(let dtype):
            let (bits, overflow) = elements.multipliedReportingOverflow(by: dtype.bitWidth)
            if overflow { throw .overflow }
            guard bits % 8 == 0 else { throw .partialUnit(elements: elements) }
            return bits / 8
        case .blocks(let type):
            guard elements % type.elementCount == 0 else { throw .partialUnit(elements: elements) }
            let (bytes, overflow) = (elements / type.elementCount).multipliedReportingOverflow(by: type.byteCount)
            if overflow { throw .overflow }
            return bytes
        }
    }

    /// The bytes of a range of elements of a tensor.
    ///
    /// - Precondition: the range begins and ends at whole units and lies in a tensor that exists.
    public func byteRange(of elements: Range<Int>) -> Range<Int> {
        // In this order nothing overflows: the tensor's size fits.
        switch self {
        case .plain(let dtype): elements.lowerBound * dtype.bitWidth / 8..<elements.upperBound * dtype.bitWidth / 8
        case .blocks(let type):
            elements.lowerBound / type.elementCount * type.byteCount..<elements.upperBound / type.elementCount
                * type.byteCount
        }
    }
}
