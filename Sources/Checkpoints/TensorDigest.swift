internal import CCrypto
import TensorCore

/// The SHA-256 of a tensor's little-endian row-major bytes: the same in every format.
///
/// Source: FIPS 180-4, computed by libcrypto.
public struct TensorDigest: Hashable, Sendable, CustomStringConvertible {
    /// 32 bytes.
    public let bytes: [UInt8]

    /// The digest of bytes in one piece.
    public init(of data: UnsafeRawBufferPointer) {
        let accumulator = Accumulator()
        accumulator.update(data)
        self = accumulator.finish()
    }

    fileprivate init(bytes: [UInt8]) { self.bytes = bytes }

    /// 64 lower-case hexadecimal digits.
    public var hexadecimal: String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    public var description: String { hexadecimal }

    /// Takes bytes piece by piece; used by one thread at a time.
    public final class Accumulator {
        // Safety: made in init, freed in deinit, used by nobody else.
        private let context: OpaquePointer

        public init() {
            guard let context = EVP_MD_CTX_new(), EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 else {
                preconditionFailure("libcrypto has no SHA-256")
            }
            self.context = context
        }

        deinit { EVP_MD_CTX_free(context) }

        public func update(_ data: UnsafeRawBufferPointer) {
            let status = EVP_DigestUpdate(context, data.baseAddress, data.count)
            precondition(status == 1, "libcrypto cannot continue a digest")
        }

        /// The digest of everything so far; the accumulator then starts anew.
        public func finish() -> TensorDigest {
            var bytes = [UInt8](repeating: 0, count: 32)
            let status = EVP_DigestFinal_ex(context, &bytes, nil)
            precondition(status == 1 && EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1, "libcrypto cannot digest")
            return TensorDigest(bytes: bytes)
        }
    }
}
