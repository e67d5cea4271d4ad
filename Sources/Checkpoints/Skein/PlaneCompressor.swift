import Glibc
internal import CZstd
import TensorCore

/// How much time the encoder spends on size.
public enum SkeinLevel: String, Sendable, CaseIterable {
    /// The coder of a plane follows from its entropy alone.
    case fast
    /// Where the entropy leaves doubt, a trial on 8 KiB decides.
    case `default`
    /// Every plane is coded in both ways and the smaller result kept.
    case max
}

/// Compresses byte planes with zstd, one thread's tools.
///
/// Three settings of ordinary zstd frames suffice: literals coded by Huffman without a search for matches, which is at the
/// entropy bound of weights and fast; the same with a cheap search for long matches, for differences, which have runs; and
/// level 1, for planes that repeat themselves. Negative levels store literals uncoded, and levels above 1 are slower and
/// larger on weights.
final class PlaneCompressor {
    /// Safety: made in init, freed in deinit, used by one thread at a time.
    private let literals: OpaquePointer
    private let mixed: OpaquePointer
    private let matching: OpaquePointer
    private let trial: AlignedBuffer
    private var probe = EntropyProbe()
    private let level: SkeinLevel

    /// Bits a byte from which a plane is stored as it is: zstd keeps literals that shrink by less than 1/64 uncoded, which
    /// is 7.875, and the sample reads 0.011 low.
    private static let noiseEntropy = 7.88
    /// Bits a byte under which Huffman codes, of at least one bit a byte, cannot be right.
    private static let sparseEntropy = 0.9
    private static let trialByteCount = 8 << 10

    init(level: SkeinLevel) throws(IOError) {
        self.level = level
        trial = try AlignedBuffer(byteCount: Self.trialByteCount)
        guard let literals = ZSTD_createCCtx(), let mixed = ZSTD_createCCtx(), let matching = ZSTD_createCCtx() else {
            // Nothing else in the process will find memory either.
            throw IOError(
                kind: .memory, message: "cannot allocate a compressor", file: nil, hint: "lower --threads")
        }
        self.literals = literals
        self.mixed = mixed
        self.matching = matching
        for context in [literals, mixed, matching] { ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, 1) }
        for context in [literals, mixed] {
            ZSTD_CCtx_setParameter(context, ZSTD_c_strategy, Int32(ZSTD_fast.rawValue))
            ZSTD_CCtx_setParameter(context, ZSTD_c_minMatch, 7)
            ZSTD_CCtx_setParameter(context, ZSTD_c_hashLog, 6)
            ZSTD_CCtx_setParameter(context, ZSTD_c_targetLength, 0)
        }
        // A target length makes the search skip ahead, but also leaves literals uncoded unless the mode of literals says
        // otherwise: parameter 1002, "literal compression mode", with 1 for Huffman. Where the library refuses it, planes
        // come out 0.07 points larger and a sixth slower.
        if ZSTD_isError(ZSTD_CCtx_setParameter(literals, ZSTD_c_experimentalParam5, 1)) == 0 {
            ZSTD_CCtx_setParameter(literals, ZSTD_c_targetLength, 1 << 17)
        }
    }

    deinit {
        for context in [literals, mixed, matching] { ZSTD_freeCCtx(context) }
    }

    /// Stores a plane in the shortest way that the level looks for.
    ///
    /// - Parameter isDelta: the plane is of differences.
    /// - Precondition: `target` has room for the plane as it is.
    func compress(
        _ plane: UnsafeRawBufferPointer, isDelta: Bool, into target: UnsafeMutableRawPointer
    ) -> SkeinChunkHeader.Plane {
        if isConstant(plane) {
            target.storeBytes(of: plane[0], as: UInt8.self)
            return SkeinChunkHeader.Plane(codec: .constant, byteCount: 1)
        }
        if let size = size(of: plane, isDelta: isDelta, compressedInto: target), size < plane.count {
            return SkeinChunkHeader.Plane(codec: .zstd, byteCount: size)
        }
        target.copyMemory(from: plane.baseAddress!, byteCount: plane.count)
        return SkeinChunkHeader.Plane(codec: .raw, byteCount: plane.count)
    }

    /// The guess of the size in bits a byte, by frequencies alone.
    func entropy(of plane: UnsafeRawBufferPointer) -> Double { probe.entropy(of: plane) }

    private func isConstant(_ plane: UnsafeRawBufferPointer) -> Bool {
        plane[0] == plane[plane.count - 1] && plane[0] == plane[plane.count / 2]
            && memcmp(plane.baseAddress!, plane.baseAddress! + 1, plane.count - 1) == 0
    }

    private func size(
        of plane: UnsafeRawBufferPointer, isDelta: Bool, compressedInto target: UnsafeMutableRawPointer
    ) -> Int? {
        let huffman = isDelta ? mixed : literals
        let room = UnsafeMutableRawBufferPointer(start: target, count: plane.count - 1)
        if level == .max {
            let byMatches = Self.compress(plane, into: room, with: matching)
            let byHuffman = Self.compress(plane, into: room, with: huffman)
            guard let matches = byMatches, matches < byHuffman ?? Int.max else { return byHuffman }
            return Self.compress(plane, into: room, with: matching)
        }
        let entropy = probe.entropy(of: plane)
        if entropy > Self.noiseEntropy { return nil }
        let context = prefersMatches(plane, entropy: entropy) ? matching : huffman
        return Self.compress(plane, into: room, with: context)
    }

    private func prefersMatches(_ plane: UnsafeRawBufferPointer, entropy: Double) -> Bool {
        if entropy < Self.sparseEntropy { return true }
        if level == .fast { return false }
        let start = max(0, plane.count - Self.trialByteCount) / 2
        let sample = UnsafeRawBufferPointer(rebasing: plane[start..<min(plane.count, start + Self.trialByteCount)])
        guard let byMatches = Self.compress(sample, into: trial.mutableBytes, with: matching) else { return false }
        // What Huffman codes would take follows from the entropy of the same bytes.
        return Double(byMatches) < probe.entropy(of: sample) / 8 * Double(sample.count)
    }

    /// Compresses a plane with one of the contexts.
    ///
    /// - Returns: the size; nil when the result does not fit.
    private static func compress(
        _ plane: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer, with context: OpaquePointer
    ) -> Int? {
        let size = ZSTD_compress2(context, target.baseAddress, target.count, plane.baseAddress, plane.count)
        return ZSTD_isError(size) == 0 ? size : nil
    }
}
