import TensorCore

/// The types that elementwise kernels compute in: `Float`, and `Double` for tensors of F64.
public protocol ElementwiseScalar: BinaryFloatingPoint, Sendable {
    /// Reads elements of a floating-point type; see `widen`.
    static func read(
        _ source: UnsafeRawBufferPointer, _ dtype: DType, into destination: UnsafeMutableBufferPointer<Self>)

    /// Rounds elements to a type that computes; returns how many finite values became infinite. See `narrow`.
    static func write(
        _ source: UnsafeBufferPointer<Self>, into destination: UnsafeMutableRawBufferPointer, as dtype: DType
    ) -> Int

    /// Orders numbers by magnitude, compared in F32: the bits without the sign. NaN is larger than infinity.
    var magnitudeKey: UInt32 { get }

    /// 1 for NaN and infinities, 0 for finite numbers: a number to add up where a condition would leave a branch.
    var nonFiniteBit: UInt32 { get }
}

extension Float: ElementwiseScalar {
    public static func read(
        _ source: UnsafeRawBufferPointer, _ dtype: DType, into destination: UnsafeMutableBufferPointer<Float>
    ) {
        widen(source, dtype, into: destination)
    }

    public static func write(
        _ source: UnsafeBufferPointer<Float>, into destination: UnsafeMutableRawBufferPointer, as dtype: DType
    ) -> Int {
        narrow(source, into: destination, as: dtype)
    }

    @inlinable public var magnitudeKey: UInt32 { bitPattern & 0x7FFF_FFFF }

    // The exponent of all ones carries into the sign's place.
    @inlinable public var nonFiniteBit: UInt32 { ((bitPattern & 0x7F80_0000) &+ 0x0080_0000) >> 31 }
}

extension Double: ElementwiseScalar {
    public static func read(
        _ source: UnsafeRawBufferPointer, _ dtype: DType, into destination: UnsafeMutableBufferPointer<Double>
    ) {
        widen(source, dtype, into: destination)
    }

    public static func write(
        _ source: UnsafeBufferPointer<Double>, into destination: UnsafeMutableRawBufferPointer, as dtype: DType
    ) -> Int {
        narrow(source, into: destination, as: dtype)
    }

    @inlinable public var magnitudeKey: UInt32 { Float(self).bitPattern & 0x7FFF_FFFF }

    @inlinable public var nonFiniteBit: UInt32 {
        UInt32(truncatingIfNeeded: ((bitPattern & 0x7FF0_0000_0000_0000) &+ 0x0010_0000_0000_0000) >> 63)
    }
}
