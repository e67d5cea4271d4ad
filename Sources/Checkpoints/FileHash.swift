internal import CXXHash
import SystemPackage
import TensorCore

extension ContentHash {
    /// Takes bytes piece by piece; used by one thread at a time.
    ///
    /// Over all bytes of a file the result is what `xxhsum -H128 FILE` prints.
    public final class Accumulator {
        // Safety: made in init, freed in deinit, used by nobody else.
        private let state: OpaquePointer

        public init() {
            guard let state = XXH3_createState(), XXH3_128bits_reset(state) == XXH_OK else {
                preconditionFailure("there is no memory for a hash")
            }
            self.state = state
        }

        deinit { XXH3_freeState(state) }

        public func update(_ bytes: UnsafeRawBufferPointer) {
            let status = untangle_XXH3_128bits_update(state, bytes.baseAddress, bytes.count)
            precondition(status == XXH_OK, "bytes without an address")
        }

        /// The XXH3-128 of everything so far.
        public func finish() -> ContentHash {
            let hash = XXH3_128bits_digest(state)
            return ContentHash(high: hash.high64, low: hash.low64)
        }
    }
}

extension ContentHash {
    /// The hash of a file's contents, as `xxhsum -H128 FILE` prints it.
    ///
    /// - Throws: `IOError` when it cannot be read.
    package init(ofFile path: FilePath) throws(IOError) {
        let hash = Accumulator()
        try MappedFile(path).withUnsafeBytes { hash.update($0) }
        self = hash.finish()
    }
}
