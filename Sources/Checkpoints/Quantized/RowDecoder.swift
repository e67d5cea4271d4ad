import CKernels
import TensorCore

/// Decodes rows of codes of one matrix of a quantised weight, with the parts that these rows need at hand.
struct RowDecoder {
    private let weight: QuantizedWeight
    private let codes: StoredRows
    private let scales: StoredRows
    private let zeros: StoredRows?
    private let whole: Float?
    /// The row of scales of each row of codes from the first on, where a tensor says so.
    private let groups: [Int]?
    private let firstRow: Int

    /// The scales and zero points of the cells that were decoded last.
    private var cellScales: [Float] = []
    private var cellZeros: [Float] = []
    private var current: (row: Int, cells: Range<Int>) = (-1, 0..<0)

    /// Columns that are decoded at a time, so that they stay in the nearest cache.
    private static let runLength = 4096
    /// Columns of a cell that are worth a call of their own.
    private static let wideCell = 64

    /// Gathers what some rows need.
    ///
    /// - Throws: `FormatError` `bad_value` when a row has no scales; what the reader throws.
    init(_ weight: QuantizedWeight, rows: Range<Int>, of matrix: Int, _ reader: any CheckpointReader) throws {
        self.weight = weight
        firstRow = rows.lowerBound
        codes = try StoredRows(weight.codes, rows, of: matrix, reader)
        let lines: Range<Int>
        if let place = weight.groups {
            groups = try Self.groups(of: rows, at: place, count: weight.scales.rows, reader)
            lines = 0..<weight.scales.rows
        } else {
            groups = nil
            lines = rows.lowerBound / weight.cell.rows..<(rows.upperBound - 1) / weight.cell.rows + 1
        }
        scales = try StoredRows(weight.scales, lines, of: matrix, reader)
        zeros = try weight.zeros.map { try StoredRows($0, lines, of: matrix, reader) }
        whole = try weight.whole.map { whole in
            let stored = try StoredRows(whole.scale, 0..<1, of: matrix, reader)
            var number: Float = 0
            stored.read(row: 0, 0..<1, into: &number)
            return number
        }
    }

    /// Reads the rows of scales that a tensor of integers gives to rows of codes.
    private static func groups(
        of rows: Range<Int>, at place: Int, count: Int, _ reader: any CheckpointReader
    ) throws -> [Int] {
        let stored = try reader.bytes(of: place)
        return try stored.withUnsafeBytes { bytes in
            try rows.map { row in
                let group = Int(Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * row, as: Int32.self)))
                guard (0..<count).contains(group) else {
                    let name = reader.descriptors[place].name
                    throw FormatError(
                        .badValue, "\"\(name)\" gives row \(row) the group \(group), and there are \(count)",
                        file: reader.path, tensor: name)
                }
                return group
            }
        }
    }

    /// Decodes part of some rows.
    ///
    /// - Parameter out: has room for the columns of each row, one row behind the other.
    mutating func decode(_ rows: Range<Int>, _ columns: Range<Int>, into out: UnsafeMutablePointer<Float>) {
        let cell = weight.cell
        guard groups == nil, zeros == nil, weight.middle == 0, weight.factor == 1, cell.columns >= Self.wideCell,
            !columns.isEmpty, let type = codes.part.numberType
        else {
            for row in rows { decode(row, columns, into: out + (row - rows.lowerBound) * columns.count) }
            return
        }
        // Rows of one row of scales in one go.
        let cells = columns.lowerBound / cell.columns..<(columns.upperBound - 1) / cell.columns + 1
        var start = rows.lowerBound
        while start < rows.upperBound {
            let line = start / cell.rows
            let together = start..<min(rows.upperBound, (line + 1) * cell.rows)
            if current != (line, cells) { load(line, cells) }
            codes.read(
                type, rows: together, columns, times: cellScales, each: cell.columns,
                into: out + (start - rows.lowerBound) * columns.count)
            start = together.upperBound
        }
    }

    /// Decodes part of one of the rows.
    ///
    /// - Parameter out: has room for the columns.
    mutating func decode(_ row: Int, _ columns: Range<Int>, into out: UnsafeMutablePointer<Float>) {
        let line = groups.map { $0[row - firstRow] } ?? row / weight.cell.rows
        let width = weight.cell.columns
        var start = columns.lowerBound
        while start < columns.upperBound {
            let run = start..<min(start + Self.runLength, columns.upperBound)
            start = run.upperBound
            let target = out + (run.lowerBound - columns.lowerBound)
            let cells = run.lowerBound / width..<(run.upperBound - 1) / width + 1
            if current != (line, cells) { load(line, cells) }
            codes.read(row: row, run, into: target)
            let offset = run.lowerBound - cells.lowerBound * width
            cellScales.withUnsafeBufferPointer { scales in
                cellZeros.withUnsafeBufferPointer { zeros in
                    untangle_scale_cells(
                        target, run.count, offset, width, zeros.isEmpty ? nil : zeros.baseAddress, scales.baseAddress)
                }
            }
            if weight.factor != 1 {
                withUnsafePointer(to: weight.factor) {
                    untangle_scale_cells(target, run.count, 0, run.count, nil, $0)
                }
            }
        }
    }

    /// Reads the scales and zero points of some cells.
    private mutating func load(_ line: Int, _ cells: Range<Int>) {
        if cellScales.count < cells.count {
            cellScales = [Float](repeating: 0, count: cells.count)
            if zeros != nil || weight.middle != 0 {
                cellZeros = [Float](repeating: weight.middle, count: cells.count)
            }
        }
        scales.read(row: line, cells, into: &cellScales)
        zeros?.read(row: line, cells, into: &cellZeros)
        if let whole, let divides = weight.whole?.divides {
            for cell in 0..<cells.count {
                cellScales[cell] = divides ? cellScales[cell] / whole : cellScales[cell] * whole
            }
        }
        current = (line, cells)
    }
}

/// Some rows of a part, where they are mapped or read into memory.
private struct StoredRows {
    let part: PartMatrix
    private let firstRow: Int
    private let bytes: TensorBytes
    private let offset: Int

    /// Takes rows of one matrix of a part, or of its only one.
    init(_ part: PartMatrix, _ rows: Range<Int>, of matrix: Int, _ reader: any CheckpointReader) throws {
        self.part = part
        firstRow = rows.lowerBound
        let range = part.byteRange(ofRows: rows, matrix: part.count == 1 ? 0 : matrix)
        if reader.isMapped(part.place) || !reader.canReadRanges(of: part.place) {
            bytes = try reader.bytes(of: part.place)
            offset = range.lowerBound
        } else {
            let buffer = try AlignedBuffer(byteCount: range.count, isZeroed: false)
            try reader.read(range, of: part.place, into: buffer.mutableBytes)
            bytes = TensorBytes(decoded: buffer)
            offset = 0
        }
    }

    func read(row: Int, _ columns: Range<Int>, into out: UnsafeMutablePointer<Float>) {
        bytes.withUnsafeBytes { bytes in
            guard let start = bytes.baseAddress else { return }
            part.read(row: row, columns, from: start + offset, firstRow: firstRow, into: out)
        }
    }

    /// Reads plain numbers times scales, one for every `width` columns.
    func read(
        _ type: untangle_number_type, rows: Range<Int>, _ columns: Range<Int>, times scales: [Float], each width: Int,
        into out: UnsafeMutablePointer<Float>
    ) {
        bytes.withUnsafeBytes { bytes in
            guard let start = bytes.baseAddress else { return }
            part.read(
                type, rows: rows, columns, times: scales, each: width, from: start + offset, firstRow: firstRow,
                into: out)
        }
    }
}
