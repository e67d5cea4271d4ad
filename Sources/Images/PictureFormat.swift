import CPictures

/// The formats of picture files, each known by its first bytes and never by a name.
package enum PictureFormat: String, Sendable, CaseIterable {
    case jpeg = "JPEG"
    case png = "PNG"
    case webp = "WebP"

    /// Recognises a file by its first bytes; 12 are enough.
    package init?(beginning bytes: UnsafeRawBufferPointer) {
        if bytes.starts(with: [0xFF, 0xD8, 0xFF]) {
            self = .jpeg
        } else if bytes.starts(with: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]) {
            self = .png
        } else if bytes.count >= 12, bytes.starts(with: "RIFF".utf8), bytes[8..<12].elementsEqual("WEBP".utf8) {
            self = .webp
        } else {
            return nil
        }
    }

    /// Reads the size that the header announces.
    func size(of bytes: UnsafeRawBufferPointer) throws(PictureError) -> (width: Int, height: Int) {
        var (width, height) = (UInt32(0), UInt32(0))
        try check { message in
            let start = bytes.bindMemory(to: UInt8.self).baseAddress
            return switch self {
            case .jpeg: untangle_jpeg_size(start, bytes.count, &width, &height, message)
            case .png: untangle_png_size(start, bytes.count, &width, &height, message)
            case .webp: untangle_webp_size(start, bytes.count, &width, &height, message)
            }
        }
        return (Int(width), Int(height))
    }

    /// Decodes into `[height, width, 3]` bytes.
    ///
    /// - Precondition: width and height are those of ``size(of:)``.
    func decode(
        _ bytes: UnsafeRawBufferPointer, width: Int, height: Int, into pixels: UnsafeMutableBufferPointer<UInt8>
    ) throws(PictureError) {
        precondition(pixels.count == 3 * width * height)
        try check { message in
            let start = bytes.bindMemory(to: UInt8.self).baseAddress
            let (width, height, target) = (UInt32(width), UInt32(height), pixels.baseAddress)
            return switch self {
            case .jpeg: untangle_jpeg_decode(start, bytes.count, width, height, target, message)
            case .png: untangle_png_decode(start, bytes.count, width, height, target, message)
            case .webp: untangle_webp_decode(start, bytes.count, width, height, target, message)
            }
        }
    }

    /// Runs a decoder with room for its message, which becomes an error.
    private func check(_ run: (UnsafeMutablePointer<CChar>) -> Int32) throws(PictureError) {
        var message = [CChar](repeating: 0, count: untangle_picture_message_size)
        let status = message.withUnsafeMutableBufferPointer { run($0.baseAddress!) }
        let kind: PictureError.Kind
        switch UInt32(status) {
        case untangle_picture_ok.rawValue: return
        case untangle_picture_truncated.rawValue: kind = .truncated
        case untangle_picture_unsupported.rawValue: kind = .unsupported
        case untangle_picture_no_memory.rawValue: kind = .tooLarge
        default: kind = .damaged
        }
        let words = String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        throw PictureError(kind, "\(rawValue): \(words)")
    }
}
