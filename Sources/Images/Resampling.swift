/// A window of a resized picture: what a crop leaves, so that the rest is never computed.
struct Resampling {
    /// The size of the whole that the window is cut from.
    let size: (height: Int, width: Int)
    let rows: Range<Int>
    let columns: Range<Int>
    let interpolation: Interpolation

    /// Makes the window of pixels of 1 or 3 bytes.
    ///
    /// Rows are resized first and columns then, each rounded to 8 bits; the other way round where the height shrinks by more than twice what the
    /// width does. An extent that stays is not touched. All that is as in Pillow 13; older versions always took rows first, which
    /// differs by a grey level here and there in tall pictures. What lies outside of the window changes nothing inside.
    ///
    /// - Returns: `[rows.count, columns.count, channels]`.
    /// - Precondition: the window lies within the size and is not empty, and there are `height * width` pixels.
    func apply(_ source: UnsafePointer<UInt8>, height: Int, width: Int, channels: Int) -> [UInt8] {
        let down =
            size.height == height ? nil : ResizeTaps(interpolation, from: height, to: size.height, window: rows)
        let across =
            size.width == width ? nil : ResizeTaps(interpolation, from: width, to: size.width, window: columns)
        let (neededRows, neededColumns) = (down?.sources ?? rows, across?.sources ?? columns)
        // Safety: taps lie within the picture by their making, and the window does where there are none.
        let start = source + channels * (neededRows.lowerBound * width + neededColumns.lowerBound)
        let stride = channels * width
        let resultWidth = channels * columns.count
        switch (down, across) {
        case (nil, nil):
            return (0..<rows.count).flatMap { UnsafeBufferPointer(start: start + $0 * stride, count: resultWidth) }
        case (let down?, nil): return down.resizedColumns(start, stride: stride, width: resultWidth)
        case (nil, let across?):
            return across.resizedRows(start, stride: stride, rows: rows.count, channels: channels)
        case (let down?, let across?) where size.height < height && height - size.height > 2 * (width - size.width):
            let neededWidth = channels * neededColumns.count
            let lower = down.resizedColumns(start, stride: stride, width: neededWidth)
            return across.resizedRows(lower, stride: neededWidth, rows: rows.count, channels: channels)
        case (let down?, let across?):
            let narrower = across.resizedRows(start, stride: stride, rows: neededRows.count, channels: channels)
            return down.resizedColumns(narrower, stride: resultWidth, width: resultWidth)
        }
    }
}
