/// How a product of matrices is cut in parts that threads compute side by side: by its sizes alone.
///
/// Each part packs its own rows of the left and columns of the right matrix, which costs the less the fewer and the squarer they are.
struct ProductCut {
    private let M, N: Int
    private let rowParts, columnParts: Int

    init(M: Int, N: Int, K: Int) {
        (self.M, self.N) = (M, N)
        // In multiplications; sizes of 31 bits can exceed what an integer counts, which a number in double precision does not.
        let work = Double(M) * Double(N) * Double(K)
        let halvings = work < 0x1p24 ? 0 : work < 0x1p26 ? 1 : work < 0x1p31 ? 2 : 3
        var (rows, columns) = (1, 1)
        for _ in 0..<halvings {
            if M / rows >= N / columns { rows *= 2 } else { columns *= 2 }
        }
        (rowParts, columnParts) = (min(rows, max(M, 1)), min(columns, max(N, 1)))
    }

    var count: Int { rowParts * columnParts }

    /// The rows and columns of a part; large parts begin at multiples of 16, as registers do.
    func part(_ number: Int) -> (rows: Range<Int>, columns: Range<Int>) {
        let (row, column) = number.quotientAndRemainder(dividingBy: columnParts)
        return (Self.range(row, of: rowParts, M), Self.range(column, of: columnParts, N))
    }

    private static func range(_ number: Int, of parts: Int, _ size: Int) -> Range<Int> {
        func start(_ number: Int) -> Int {
            number == parts ? size : number * size / parts & ~(size / parts >= 64 ? 15 : 0)
        }
        return start(number)..<start(number + 1)
    }
}

extension MatrixView<Float> {
    /// The matrix from a row on.
    func rows(from row: Int) -> MatrixView {
        MatrixView(address: address + row * (isTransposed ? 1 : stride), stride: stride, isTransposed: isTransposed)
    }

    /// The matrix from a column on.
    func columns(from column: Int) -> MatrixView {
        MatrixView(address: address + column * (isTransposed ? stride : 1), stride: stride, isTransposed: isTransposed)
    }
}
