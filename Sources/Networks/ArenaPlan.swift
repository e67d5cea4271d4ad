/// Hands out offsets in one allocation that is made when all sizes are known.
struct ArenaPlan {
    /// The numbers needed so far; `Int.max` once a size overflowed, which no allocation will grant.
    private(set) var count = 0

    /// The offset of a region of the given dimensions, on a cache line.
    mutating func take(_ dims: Int...) -> Int {
        let start = count
        var size = 1
        for dim in dims {
            let (product, overflow) = size.multipliedReportingOverflow(by: dim)
            size = overflow ? .max : product
        }
        let (end, overflow) = start.addingReportingOverflow(size)
        guard !overflow, end <= .max - 15 else {
            count = .max
            return 0
        }
        count = (end + 15) & ~15
        return start
    }
}
