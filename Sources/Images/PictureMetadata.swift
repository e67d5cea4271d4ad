/// What a picture file has besides pixels: views of its bytes, found by walking over the parts of the file.
///
/// A part that reaches beyond the end of the file ends the walk.
struct PictureMetadata {
    /// A TIFF structure, perhaps behind `Exif\0\0`.
    private(set) var exif: UnsafeRawBufferPointer?
    /// A text of XML.
    private(set) var xmp: UnsafeRawBufferPointer?

    init(of bytes: UnsafeRawBufferPointer, _ format: PictureFormat) {
        switch format {
        case .jpeg: readSegments(bytes)
        case .png: readChunks(bytes)
        case .webp: readRIFF(bytes)
        }
    }

    /// JPEG: segments of 0xFF, a marker, and a length that counts itself, up to the scan (0xDA).
    private mutating func readSegments(_ bytes: UnsafeRawBufferPointer) {
        let xmpName = "http://ns.adobe.com/xap/1.0/\0"
        var place = 2
        while place + 4 <= bytes.count, bytes[place] == 0xFF {
            let marker = bytes[place + 1]
            // A marker may have more than one 0xFF before it.
            if marker == 0xFF {
                place += 1
                continue
            }
            if marker == 0xDA || marker == 0xD9 { return }
            let length = Int(bytes[place + 2]) << 8 | Int(bytes[place + 3])
            guard length >= 2, place + 2 + length <= bytes.count else { return }
            let content = UnsafeRawBufferPointer(rebasing: bytes[place + 4..<place + 2 + length])
            if marker == 0xE1 {
                if exif == nil, content.starts(with: "Exif\0\0".utf8) { exif = content }
                if xmp == nil, content.starts(with: xmpName.utf8) { xmp = content }
            }
            place += 2 + length
        }
    }

    /// PNG: chunks of a length, a name, content and a checksum; those behind the pixels count as well.
    private mutating func readChunks(_ bytes: UnsafeRawBufferPointer) {
        var place = 8
        while place + 12 <= bytes.count {
            let length = bytes[place..<place + 4].reduce(0) { $0 << 8 | Int($1) }
            guard length <= bytes.count - place - 12 else { return }
            let name = bytes[place + 4..<place + 8]
            let content = UnsafeRawBufferPointer(rebasing: bytes[place + 8..<place + 8 + length])
            if name.elementsEqual("eXIf".utf8) { exif = content }
            if name.elementsEqual("iTXt".utf8), content.starts(with: "XML:com.adobe.xmp\0\0".utf8) { xmp = content }
            place += 12 + length
        }
    }

    /// WebP: chunks of a name, a length with its low byte first, and content, of an even number of bytes.
    private mutating func readRIFF(_ bytes: UnsafeRawBufferPointer) {
        var place = 12
        while place + 8 <= bytes.count {
            let length = bytes[place + 4..<place + 8].reversed().reduce(0) { $0 << 8 | Int($1) }
            guard length <= bytes.count - place - 8 else { return }
            let name = bytes[place..<place + 4]
            let content = UnsafeRawBufferPointer(rebasing: bytes[place + 8..<place + 8 + length])
            if exif == nil, name.elementsEqual("EXIF".utf8) { exif = content }
            if xmp == nil, name.elementsEqual("XMP ".utf8) { xmp = content }
            place += 8 + length + length % 2
        }
    }
}
