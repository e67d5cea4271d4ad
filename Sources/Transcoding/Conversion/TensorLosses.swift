import Kernels
import TensorCore

/// What a conversion to another type has lost of a tensor.
public struct TensorLosses: Sendable, Hashable {
    /// The name in the output.
    public let tensor: TensorName
    /// The type that numbers were rounded to; on the way into blocks F32.
    public let dtype: DType
    public let losses: CastLosses
}
