/// The order of the rows of queries and keys: transformers turns the first half of a head against the second, llama.cpp neighbours.
///
/// Row `2 j + p` of a head in GGUF is row `p D/2 + j` in transformers, for heads of width `D`.
///
/// Source: `LlamaModel.permute` of `conversion/llama.py` of llama.cpp.
struct RotaryOrder: Sendable, Hashable {
    let headCount: Int
    /// Whether neighbours are made, as GGUF has them, or halves.
    let isForGGUF: Bool

    /// Whether heads of whole pairs fill the rows.
    func fits(rowCount: Int) -> Bool { headCount > 0 && rowCount % headCount == 0 && rowCount / headCount % 2 == 0 }

    /// The row that a row of the result comes from.
    ///
    /// - Precondition: the order fits.
    func source(of row: Int, rowCount: Int) -> Int {
        let width = rowCount / headCount
        let (head, place) = row.quotientAndRemainder(dividingBy: width)
        let source = isForGGUF ? place % 2 * (width / 2) + place / 2 : place % (width / 2) * 2 + place / (width / 2)
        return head * width + source
    }

    /// Copies a range of the ordered rows.
    ///
    /// - Precondition: `stored` has all rows, `target` the size of the range.
    func copy(
        _ range: Range<Int>, ofRows stored: UnsafeRawBufferPointer, rowByteCount: Int,
        into target: UnsafeMutableRawBufferPointer
    ) {
        guard rowByteCount > 0 else { return }
        let rowCount = stored.count / rowByteCount
        var position = range.lowerBound
        while position < range.upperBound {
            let (row, offset) = position.quotientAndRemainder(dividingBy: rowByteCount)
            let count = min(rowByteCount - offset, range.upperBound - position)
            let start = source(of: row, rowCount: rowCount) * rowByteCount + offset
            UnsafeMutableRawBufferPointer(rebasing: target[(position - range.lowerBound)...]).copyMemory(
                from: UnsafeRawBufferPointer(rebasing: stored[start..<start + count]))
            position += count
        }
    }
}
