// Conversions of the 16-bit types in integer arithmetic.
//
// The standard library's `Float16` needs a library call per element on processors without F16C; these loops vectorise on
// any of them. For that, arithmetic wraps, indices included, and counts are sums of bits: a check for overflow or a
// conditional increment leaves a branch in the loop. Every function takes `count` elements at addresses of any alignment and
// leaves bounds to its caller.

import CKernels

/// BF16 is the upper half of F32.
func widenBF16(_ source: UnsafeRawPointer, count: Int, to destination: UnsafeMutablePointer<Float>) {
    untangle_widen_bf16(source, count, destination)
}

/// Moves exponent and mantissa into their F32 places and corrects the exponent's bias by a multiplication, which also
/// normalises subnormals; infinity and NaN get F32's all-ones exponent instead.
func widenF16(_ source: UnsafeRawPointer, count: Int, to destination: UnsafeMutablePointer<Float>) {
    let rebias = Float(bitPattern: 0x7780_0000)  // 2^112
    for i in 0..<count {
        let half = UInt32(source.loadUnaligned(fromByteOffset: 2 &* i, as: UInt16.self))
        let sign = (half & 0x8000) << 16
        let magnitude = half & 0x7FFF
        let moved = magnitude << 13
        let finite = (Float(bitPattern: moved) * rebias).bitPattern
        let bits = magnitude >= 0x7C00 ? moved | 0x7F80_0000 : finite
        destination[i] = Float(bitPattern: sign | bits)
    }
}

/// Rounds to nearest even.
///
/// - Returns: how many finite values became infinite.
func roundToBF16(_ source: UnsafePointer<Float>, count: Int, to destination: UnsafeMutableRawPointer) -> Int {
    if isFinite(source, count: count) { return untangle_round_bf16(source, count, destination) }
    var overflowCount: UInt32 = 0
    for i in 0..<count {
        let bits = source[i].bitPattern
        let magnitude = bits & 0x7FFF_FFFF
        // Adding to a NaN could carry into infinity, so it is cut off, and made quiet when its payload lies in the lost half.
        let cut = bits >> 16
        let nan = cut & 0x7F == 0 ? cut | 0x40 : cut
        let rounded = magnitude > 0x7F80_0000 ? nan : nearestBF16(bits)
        destination.storeBytes(of: UInt16(truncatingIfNeeded: rounded), toByteOffset: 2 &* i, as: UInt16.self)
        overflowCount &+= isAtLeast(magnitude, 0x7F7F_8000) & ~isAtLeast(magnitude, 0x7F80_0000)
    }
    return Int(overflowCount)
}

@inline(__always)
private func nearestBF16(_ bits: UInt32) -> UInt32 { (bits &+ 0x7FFF &+ ((bits >> 16) & 1)) >> 16 }

/// Rounds to nearest even; the smallest value that rounds to infinity is 65,520.
///
/// - Returns: how many finite values became infinite.
func roundToF16(_ source: UnsafePointer<Float>, count: Int, to destination: UnsafeMutableRawPointer) -> Int {
    var overflowCount: UInt32 = 0
    if isFinite(source, count: count) {
        for i in 0..<count {
            let bits = source[i].bitPattern
            let magnitude = bits & 0x7FFF_FFFF
            let half = (bits >> 16) & 0x8000 | nearestF16(magnitude)
            destination.storeBytes(of: UInt16(truncatingIfNeeded: half), toByteOffset: 2 &* i, as: UInt16.self)
            overflowCount &+= isAtLeast(magnitude, 0x477F_F000)
        }
    } else {
        for i in 0..<count {
            let bits = source[i].bitPattern
            let magnitude = bits & 0x7FFF_FFFF
            let payload = (magnitude >> 13) & 0x3FF
            let nan = 0x7C00 | (payload == 0 ? 0x200 : payload)
            let half = (bits >> 16) & 0x8000 | (magnitude > 0x7F80_0000 ? nan : nearestF16(magnitude))
            destination.storeBytes(of: UInt16(truncatingIfNeeded: half), toByteOffset: 2 &* i, as: UInt16.self)
            overflowCount &+= isAtLeast(magnitude, 0x477F_F000) & ~isAtLeast(magnitude, 0x7F80_0000)
        }
    }
    return Int(overflowCount)
}

/// Rounds by integer addition for normal results, by a floating-point addition that aligns the mantissa for subnormal ones.
@inline(__always)
private func nearestF16(_ magnitude: UInt32) -> UInt32 {
    let aligner = Float(bitPattern: 0x3F00_0000)  // 0.5: its last mantissa bit is worth 2^-24, F16's smallest subnormal
    let normal = (magnitude &- 0x3800_0000 &+ 0xFFF &+ ((magnitude >> 13) & 1)) >> 13
    let subnormal = (Float(bitPattern: magnitude) + aligner).bitPattern &- 0x3F00_0000
    let finite = magnitude < 0x3880_0000 ? subnormal : normal
    return magnitude >= 0x477F_F000 ? 0x7C00 : finite
}
