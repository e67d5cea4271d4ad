import CKernels
import TensorCore

/// A matrix of codes, scales or zero points as a checkpoint stores it, or a stack of them.
struct PartMatrix: Sendable {
    /// The place in the reader.
    let place: Int
    /// How many matrices there are.
    let count: Int
    let rows: Int
    let columns: Int
    private let coding: Coding

    /// How the numbers lie in bytes.
    private enum Coding {
        /// One behind the other; those of 4 bits two to a byte.
        case numbers(untangle_number_type, bitWidth: Int)
        case packed(Packing)
    }

    /// Integers of a few bits, several in a word of 32.
    struct Packing: Sendable {
        /// 2, 4 or 8.
        let bits: Int
        /// Whether the integers of a word follow each other down a column, else along a row.
        var runsDown = false
        /// The place in a word of each of its integers, the lowest bits first.
        var order: [UInt8]
        /// What is added to each integer, without what goes beyond its bits.
        var added: UInt32 = 0

        init(bits: Int, runsDown: Bool = false, order: [UInt8]? = nil, added: UInt32 = 0) {
            self.bits = bits
            self.runsDown = runsDown
            self.order = order ?? (0..<UInt8(32 / bits)).map { $0 }
            self.added = added
        }

        var perWord: Int { 32 / bits }
    }

    /// Describes numbers of a type.
    ///
    /// - Parameter dtype: what the bytes are, whatever type the file gives them; 4-bit numbers lie two to a byte.
    /// - Returns: nil for a type that parts are not stored in, and for rows that do not fill whole bytes.
    init?(_ place: Int, of dtype: DType, count: Int, rows: Int, columns: Int) {
        guard let type = dtype.partType, columns * dtype.bitWidth % 8 == 0 else { return nil }
        (self.place, self.count, self.rows, self.columns) = (place, count, rows, columns)
        coding = .numbers(type, bitWidth: dtype.bitWidth)
    }

    /// Describes packed integers.
    init(_ place: Int, packed: Packing, rows: Int, columns: Int) {
        (self.place, count, self.rows, self.columns) = (place, 1, rows, columns)
        coding = .packed(packed)
    }

    /// The bytes of a row, or, where integers run down, of all rows that share words.
    private var rowByteCount: Int {
        switch coding {
        case .numbers(_, let bitWidth): columns * bitWidth / 8
        case .packed(let packing):
            4 * (packing.runsDown ? columns : (columns + packing.perWord - 1) / packing.perWord)
        }
    }

    /// The row of words that a row lies in.
    private func line(of row: Int) -> Int {
        if case .packed(let packing) = coding, packing.runsDown { row / packing.perWord } else { row }
    }

    private var lineCount: Int { rows == 0 ? 0 : line(of: rows - 1) + 1 }

    /// The bytes of all matrices.
    var byteCount: Int { count * lineCount * rowByteCount }

    /// The bytes of some rows of one of the matrices.
    func byteRange(ofRows rows: Range<Int>, matrix: Int) -> Range<Int> {
        let first = matrix * lineCount
        return (first + line(of: rows.lowerBound)) * rowByteCount..<(first + line(of: rows.upperBound - 1) + 1)
            * rowByteCount
    }

    /// What the kernels call the type of plain numbers; nil of what is packed.
    var numberType: untangle_number_type? { if case .numbers(let type, _) = coding { type } else { nil } }

    /// Reads part of some rows of plain numbers as F32, times scales that the rows share.
    ///
    /// - Parameters:
    ///   - bytes: those of the rows from `firstRow` on.
    ///   - scales: one for every `width` columns, from that of the first column on.
    ///   - out: has room for the columns of each row, one row behind the other.
    func read(
        _ type: untangle_number_type, rows: Range<Int>, _ columns: Range<Int>, times scales: UnsafePointer<Float>,
        each width: Int, from bytes: UnsafeRawPointer, firstRow: Int, into out: UnsafeMutablePointer<Float>
    ) {
        let (stride, count) = (rowByteCount, columns.count)
        for place in 0..<rows.count {
            untangle_read_cells(
                type, bytes + (rows.lowerBound - firstRow + place) * stride, columns.lowerBound, count, width, scales,
                out + place * count)
        }
    }

    /// Reads part of a row as F32.
    ///
    /// - Parameters:
    ///   - bytes: those of the rows from `firstRow` on.
    ///   - out: has room for the columns.
    func read(
        row: Int, _ columns: Range<Int>, from bytes: UnsafeRawPointer, firstRow: Int,
        into out: UnsafeMutablePointer<Float>
    ) {
        let start = bytes + (line(of: row) - line(of: firstRow)) * rowByteCount
        switch coding {
        case .numbers(let type, _): untangle_read_numbers(type, start, columns.lowerBound, columns.count, out)
        case .packed(let packing) where packing.runsDown:
            untangle_read_slices(
                start, Int32(packing.bits), Int32(packing.order[row % packing.perWord]), packing.added,
                columns.lowerBound, columns.count, out)
        case .packed(let packing):
            untangle_read_packed(
                start, Int32(packing.bits), packing.order, packing.added, columns.lowerBound, columns.count, out)
        }
    }
}

extension DType {
    /// What the kernels call a type in which parts of quantised weights are stored.
    fileprivate var partType: untangle_number_type? {
        switch self {
        case .f8E4M3: untangle_f8_e4m3
        case .f8E5M2: untangle_f8_e5m2
        case .f8E4M3FNUZ: untangle_f8_e4m3fnuz
        case .f8E5M2FNUZ: untangle_f8_e5m2fnuz
        case .f8E8M0: untangle_f8_e8m0
        case .f4: untangle_f4_e2m1
        case .i8: untangle_i8
        case .f16: untangle_f16
        case .bf16: untangle_bf16
        case .f32: untangle_f32
        case .f64: untangle_f64
        case .bool, .f6E2M3, .f6E3M2, .u8, .u16, .i16, .i32, .u32, .c64, .i64, .u64, .c128: nil
        }
    }
}
