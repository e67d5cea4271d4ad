import Checkpoints
import Testing

/// Test vectors of FIPS 180-4, from NIST's "SHA-256 examples".
@Suite struct TensorDigestTests {
    @Test func digestsInOnePieceAndInSeveral() {
        let text = Array("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".utf8)
        let expected = "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        #expect(text.withUnsafeBytes { TensorDigest(of: $0) }.hexadecimal == expected)
        let accumulator = TensorDigest.Accumulator()
        text.withUnsafeBytes { bytes in
            accumulator.update(UnsafeRawBufferPointer(rebasing: bytes[..<5]))
            accumulator.update(UnsafeRawBufferPointer(rebasing: bytes[5...]))
        }
        #expect(accumulator.finish().hexadecimal == expected)
        // It starts anew after finishing.
        #expect(
            accumulator.finish().description == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    }
}
