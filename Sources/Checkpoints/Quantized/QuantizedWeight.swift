import TensorCore

/// A weight that is stored as codes, with scales of cells of them:
///
///     value = (code - zero) * scale
///
/// in F32, where the scale of a cell may be one of the cell times one of the whole. Any run of it is read from the rows that it touches.
struct QuantizedWeight: Sendable {
    let codes: PartMatrix
    /// A matrix, or one for each of the codes, with a row and column for those of the cells.
    let scales: PartMatrix
    /// The rows and columns of codes that have one scale; those at the edges may be cut off.
    let cell: (rows: Int, columns: Int)
    /// As the scales.
    var zeros: PartMatrix?
    /// The zero point of all where there are none.
    var middle: Float = 0
    /// A scale of all of a matrix.
    var whole: Whole?
    /// What a value is multiplied by at the end.
    var factor: Float = 1
    /// The place of a tensor that gives the row of scales for each row of codes, instead of the cells.
    var groups: Int?
    /// Whether the weight has the columns of the codes for rows.
    var isTransposed = false

    struct Whole: Sendable {
        /// One number, or one for each matrix.
        let scale: PartMatrix
        /// Whether scales are divided by it, else multiplied.
        let divides: Bool
    }

    /// Columns of codes that are turned into rows at a time.
    private static let tileWidth = 64

    /// Rows and columns of one matrix of the weight.
    var rows: Int { isTransposed ? codes.columns : codes.rows }
    var columns: Int { isTransposed ? codes.rows : codes.columns }

    /// Whether parts of the weight can be read without decoding all of it. Columns of codes lie everywhere, so there it must cost nothing
    /// to reach them.
    func canReadRanges(_ reader: any CheckpointReader) -> Bool {
        reader.isMapped(codes.place) || !isTransposed && reader.canReadRanges(of: codes.place)
    }

    /// What is best read together, in bytes of F32: what the codes that the source decodes together stand for, some rows of a weight whose
    /// codes are columns, else a row.
    func decodedTogetherByteCount(_ reader: any CheckpointReader) -> Int {
        let elementByteCount = MemoryLayout<Float>.size
        let all = codes.count * rows * columns * elementByteCount
        guard canReadRanges(reader) else { return all }
        if isTransposed { return min(all, Self.tileWidth * columns * elementByteCount) }
        // Whole bytes of codes, so that what is decoded together ends where the source's pieces end.
        let together = reader.decodedTogetherByteCount(of: codes.place)
        return min(all, max(columns * elementByteCount, together * (all / max(1, codes.byteCount))))
    }

    /// Reads a range of the weight's F32 bytes.
    ///
    /// - Throws: `FormatError` when parts are damaged or contradict each other; what the reader throws.
    func read(
        _ range: Range<Int>, from reader: any CheckpointReader, into target: UnsafeMutableRawBufferPointer
    ) throws {
        guard let start = target.baseAddress, !range.isEmpty else { return }
        let width = MemoryLayout<Float>.size
        let elements = range.lowerBound / width..<(range.upperBound + width - 1) / width
        if range.lowerBound % width == 0, range.upperBound % width == 0,
            Int(bitPattern: start) % MemoryLayout<Float>.alignment == 0
        {
            // Safety: aligned memory for as many numbers.
            return try decode(elements, from: reader, into: start.assumingMemoryBound(to: Float.self))
        }
        let numbers = try AlignedBuffer(byteCount: elements.count * width, isZeroed: false)
        try withExtendedLifetime(numbers) {
            let all = numbers.mutableBytes
            guard let first = all.baseAddress else { return }
            try decode(elements, from: reader, into: first.assumingMemoryBound(to: Float.self))
            let offset = range.lowerBound - elements.lowerBound * width
            target.copyMemory(from: UnsafeRawBufferPointer(rebasing: all[offset..<offset + range.count]))
        }
    }

    /// Reads elements of the weight, matrix by matrix: an incomplete row, whole rows, an incomplete row.
    private func decode(
        _ elements: Range<Int>, from reader: any CheckpointReader, into out: UnsafeMutablePointer<Float>
    ) throws {
        let size = rows * columns
        var position = elements.lowerBound
        while position < elements.upperBound {
            let (matrix, inside) = position.quotientAndRemainder(dividingBy: size)
            let end = min(size, inside + elements.upperBound - position)
            let (row, column) = inside.quotientAndRemainder(dividingBy: columns)
            let run: (rows: Range<Int>, columns: Range<Int>) =
                if column > 0 || end - inside < columns {
                    (row..<row + 1, column..<min(columns, column + end - inside))
                } else {
                    (row..<end / columns, 0..<columns)
                }
            let target = out + (position - elements.lowerBound)
            if isTransposed {
                try decodeColumns(run.rows, run.columns, of: matrix, from: reader, into: target)
            } else {
                var decoder = try RowDecoder(self, rows: run.rows, of: matrix, reader)
                decoder.decode(run.rows, run.columns, into: target)
            }
            position += run.rows.count * run.columns.count
        }
    }

    /// Reads rows of the weight that are columns of the codes, tile by tile.
    private func decodeColumns(
        _ rows: Range<Int>, _ columns: Range<Int>, of matrix: Int, from reader: any CheckpointReader,
        into out: UnsafeMutablePointer<Float>
    ) throws {
        var decoder = try RowDecoder(self, rows: columns, of: matrix, reader)
        withUnsafeTemporaryAllocation(of: Float.self, capacity: Self.tileWidth * Self.tileWidth) { tile in
            // Safety: a tile has an element.
            let tile = tile.baseAddress!
            for down in chunkRanges(of: rows, by: Self.tileWidth) {
                for along in chunkRanges(of: columns, by: Self.tileWidth) {
                    for column in along {
                        decoder.decode(
                            column, down, into: tile + (column - along.lowerBound) * Self.tileWidth)
                    }
                    for row in down {
                        let target =
                            out + (row - rows.lowerBound) * columns.count + (along.lowerBound - columns.lowerBound)
                        let source = tile + (row - down.lowerBound)
                        for place in 0..<along.count { target[place] = source[place * Self.tileWidth] }
                    }
                }
            }
        }
    }
}
