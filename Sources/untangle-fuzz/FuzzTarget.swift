import Glibc
import TensorCore

/// One parser that is given bytes nobody wrote.
struct FuzzTarget: Sendable {
    let name: String
    /// Reads the bytes as far as it can and throws what a user would be told.
    let read: @Sendable ([UInt8]) throws -> Void

    init(_ name: String, read: @escaping @Sendable ([UInt8]) throws -> Void) {
        (self.name, self.read) = (name, read)
    }

    /// All of them; `make fuzz` runs one after another.
    static let all =
        [json, yaml, tokenizer, text, picture, config, index, sniffed, sealedSkein]
        + [safetensors, npy, npz, skein, gguf, torch, pickle]

    /// The one that `FUZZ_TARGET` names; without it, the names are listed.
    static let chosen: FuzzTarget = {
        let name = getenv("FUZZ_TARGET").map { String(cString: $0) }
        if let target = all.first(where: { $0.name == name }) { return target }
        for target in all { print(target.name) }
        exit(name == nil ? 0 : 2)
    }()

    /// Gives the bytes to the parser.
    ///
    /// Whatever is thrown must be a diagnostic, with a text that can be made.
    func run(_ bytes: [UInt8]) {
        do { try read(bytes) } catch {
            // A trap is how libFuzzer is told of a finding.
            guard let diagnostic = error as? any Diagnostic else { fatalError("not a diagnostic: \(error)") }
            precondition(!diagnostic.message.isEmpty && !diagnostic.code.isEmpty)
        }
    }
}

/// What libFuzzer calls once, before all else.
@_cdecl("LLVMFuzzerInitialize")
func initialize(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>>>
) -> CInt {
    _ = FuzzTarget.chosen
    return 0
}

/// What libFuzzer calls with each input.
@_cdecl("LLVMFuzzerTestOneInput")
func testOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    FuzzTarget.chosen.run(Array(UnsafeBufferPointer(start: bytes, count: count)))
    return 0
}
