import TensorCore

/// How scales lie over a matrix of codes: one for all, for each row, for groups of columns or for blocks.
struct ScaleGrid {
    let scales: PartMatrix
    let cell: (rows: Int, columns: Int)

    /// The block of DeepSeek-V3, which configurations may leave out.
    private static let usualBlock = (rows: 128, columns: 128)

    /// Fits scales to codes.
    ///
    /// - Parameters:
    ///   - codes: `[…, rows, columns]`.
    ///   - leading: how many matrices each of the codes' leading dimensions has.
    ///   - scale: `[]`, `[1]`, `[rows]`, `[…, r, c]`, or one for each matrix of a stack.
    ///   - dtype: what its bytes are.
    ///   - isOfBlocks: whether the name says that there are blocks.
    /// - Returns: nil when the shapes do not fit, or fit in two ways.
    init?(
        _ scale: TensorDescriptor, at place: Int, as dtype: DType, over codes: PartMatrix, leading: [Int],
        config: QuantizationConfig, isOfBlocks: Bool
    ) {
        let dims = scale.shape.dims
        let grid: (count: Int, rows: Int, columns: Int)
        if scale.elementCount == 1 {
            grid = (1, 1, 1)
        } else if dims.count == leading.count + 2, Array(dims.prefix(leading.count)) == leading {
            grid = (codes.count, dims[dims.count - 2], dims[dims.count - 1])
        } else if dims == leading + [codes.rows] {
            grid = (codes.count, codes.rows, 1)
        } else if !leading.isEmpty, dims == leading || dims == leading + [1] {
            grid = (codes.count, 1, 1)
        } else {
            return nil
        }
        guard grid.rows > 0, grid.columns > 0,
            let cell = Self.cell(grid.rows, grid.columns, of: codes, config, isOfBlocks: isOfBlocks),
            let scales = PartMatrix(place, of: dtype, count: grid.count, rows: grid.rows, columns: grid.columns)
        else { return nil }
        self.scales = scales
        self.cell = cell
    }

    /// The size of a cell; those at the edges may be cut off.
    private static func cell(
        _ rows: Int, _ columns: Int, of codes: PartMatrix, _ config: QuantizationConfig, isOfBlocks: Bool
    ) -> (rows: Int, columns: Int)? {
        func fits(_ block: (rows: Int, columns: Int)) -> Bool {
            (codes.rows - 1) / block.rows + 1 == rows && (codes.columns - 1) / block.columns + 1 == columns
        }
        let height = rows == 1 ? codes.rows : rows == codes.rows ? 1 : nil
        if let height, columns == 1 { return (height, codes.columns) }
        let stated = config.blocks + (height.map { height in config.groupSizes.map { (height, $0) } } ?? [])
        // Layers may be quantised in several ways, and which is whose only classes of modules tell.
        if let block = stated.first(where: fits) {
            return stated.allSatisfy { !fits($0) || cut($0, codes) == cut(block, codes) } ? cut(block, codes) : nil
        }
        let usual = fits(usualBlock) && config.blocks.isEmpty ? usualBlock : nil
        guard let height else { return usual }
        if columns == codes.columns { return (height, 1) }
        guard codes.columns % columns == 0 else { return usual }
        let group = codes.columns / columns
        if let usual { return isOfBlocks || group == usual.columns ? usual : nil }
        return config.groupSizes.isEmpty ? (height, group) : nil
    }

    /// A block without what goes beyond a matrix.
    private static func cut(_ block: (rows: Int, columns: Int), _ codes: PartMatrix) -> (rows: Int, columns: Int) {
        (min(block.rows, codes.rows), min(block.columns, codes.columns))
    }
}
