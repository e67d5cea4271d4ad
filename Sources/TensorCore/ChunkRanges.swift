/// Cuts a range into runs of one length, the last of which may be shorter.
///
/// Work on the elements of a tensor goes by such chunks: their borders depend on the tensor alone, so what is found in them,
/// combined in their order, depends neither on threads nor on memory.
///
/// - Precondition: `count` is positive.
package func chunkRanges(of range: Range<Int>, by count: Int) -> [Range<Int>] {
    stride(from: range.lowerBound, to: range.upperBound, by: count).map {
        $0..<$0 + min(count, range.upperBound - $0)
    }
}
