/// How a picture is to be turned and mirrored before it is shown, by the numbers of EXIF's tag 0x0112.
enum PictureOrientation: Int, Sendable, CaseIterable {
    case mirrored = 2
    case upsideDown = 3
    case flipped = 4
    case transposed = 5
    case clockwise = 6
    case transverse = 7
    case counterClockwise = 8

    /// What a file says; nil when it says nothing, or that it is upright.
    ///
    /// XMP counts where EXIF has no such tag. What cannot be understood counts as nothing said.
    init?(of bytes: UnsafeRawBufferPointer, _ format: PictureFormat) {
        let metadata = PictureMetadata(of: bytes, format)
        guard let number = metadata.exif.flatMap(Self.number(exif:)) ?? metadata.xmp.flatMap(Self.number(xmp:)) else {
            return nil
        }
        self.init(rawValue: number)
    }

    /// The tag in the first directory of a TIFF structure: byte order, 42, the directory's offset; there a count and entries of 12 bytes with
    /// tag, type, count and value.
    static func number(exif bytes: UnsafeRawBufferPointer) -> Int? {
        var tiff = bytes[...]
        for _ in 0..<2 where tiff.starts(with: "Exif\0\0".utf8) { tiff = tiff.dropFirst(6) }
        let isLittle = tiff.starts(with: "II".utf8)
        guard isLittle || tiff.starts(with: "MM".utf8) else { return nil }
        func number(at offset: Int, size: Int) -> Int? {
            guard offset >= 0, offset <= tiff.count - size else { return nil }
            let start = tiff.startIndex + offset
            let place = tiff[start..<start + size]
            return isLittle
                ? place.reversed().reduce(0) { $0 << 8 | Int($1) } : place.reduce(0) { $0 << 8 | Int($1) }
        }
        guard number(at: 2, size: 2) == 42, let directory = number(at: 4, size: 4),
            let count = number(at: directory, size: 2)
        else { return nil }
        for entry in 0..<count {
            let place = directory + 2 + 12 * entry
            guard let tag = number(at: place, size: 2) else { return nil }
            guard tag == 0x0112 else { continue }
            guard number(at: place + 4, size: 4) == 1 else { return nil }
            return switch number(at: place + 2, size: 2) {
            case 1: number(at: place + 8, size: 1)
            case 3: number(at: place + 8, size: 2)
            case 4: number(at: place + 8, size: 4)
            default: nil
            }
        }
        return nil
    }

    /// The digit behind `tiff:Orientation="` or `tiff:Orientation>`.
    static func number(xmp bytes: UnsafeRawBufferPointer) -> Int? {
        let name = Array("tiff:Orientation".utf8)
        guard bytes.count > name.count else { return nil }
        for start in 0..<(bytes.count - name.count) where bytes[start] == name[0] {
            let rest = bytes[start...]
            guard rest.starts(with: name) else { continue }
            let value = rest.dropFirst(name.count)
            guard let mark = ["=\"", ">"].first(where: { value.starts(with: $0.utf8) }),
                let digit = value.dropFirst(mark.utf8.count).first, (0x30...0x39).contains(digit)
            else { continue }
            return Int(digit) - 0x30
        }
        return nil
    }

    /// The picture as it is shown.
    func applied(to picture: Picture) -> Picture {
        let (width, height) = (picture.width, picture.height)
        let isTurned = rawValue >= 5
        let (newWidth, newHeight) = isTurned ? (height, width) : (width, height)
        // Where the first pixel comes from, and how far the next ones of a row and of a column are.
        let (right, down) = (3, 3 * width)
        let (lastX, lastY) = (right * (width - 1), down * (height - 1))
        let (start, stepX, stepY) =
            switch self {
            case .mirrored: (lastX, -right, down)
            case .upsideDown: (lastX + lastY, -right, -down)
            case .flipped: (lastY, right, -down)
            case .transposed: (0, down, right)
            case .clockwise: (lastY, -down, right)
            case .transverse: (lastX + lastY, -down, -right)
            case .counterClockwise: (lastX, down, -right)
            }
        let pixels = [UInt8](unsafeUninitializedCapacity: picture.pixels.count) { target, initialized in
            // Safety: every pixel of the target is written once, from a place that is a permutation of them.
            picture.pixels.withUnsafeBufferPointer { source in
                var place = 0
                for y in 0..<newHeight {
                    var from = start + y * stepY
                    for _ in 0..<newWidth {
                        target[place] = source[from]
                        target[place + 1] = source[from + 1]
                        target[place + 2] = source[from + 2]
                        place += 3
                        from += stepX
                    }
                }
            }
            initialized = picture.pixels.count
        }
        return Picture(width: newWidth, height: newHeight, pixels: pixels)
    }
}
