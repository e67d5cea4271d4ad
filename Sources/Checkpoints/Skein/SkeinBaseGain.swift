import TensorCore

/// How many tensors of a .skein file are stored as the difference to its base, and why the others are not.
public struct SkeinBaseGain: Sendable, Hashable {
    /// The types of a tensor in the file and in the base.
    public struct Types: Sendable, Hashable {
        public let here: DType
        public let there: DType
    }

    /// Tensors that are shorter with the base than without.
    public private(set) var gained = 0
    /// Tensors that the base has not.
    public private(set) var missing = 0
    /// Tensors that have another shape in the base.
    public private(set) var shape = 0
    /// Tensors that have the same shape and another type in the base, of which theirs does not hold every number.
    public private(set) var dtype = 0
    /// Tensors that were compared with the base and are no shorter with it, among them those of a few hundred bytes.
    public private(set) var noGain = 0
    /// The types of those that differ, each pair once.
    public private(set) var types: [Types] = []
    /// Bytes of tensor data, and of the tensors that gained.
    public private(set) var byteCount = 0
    public private(set) var gainedByteCount = 0

    public var tensors: Int { gained + missing + shape + dtype + noGain }

    init() {}

    /// Counts a tensor.
    ///
    /// - Parameters:
    ///   - match: the tensor of its name in the base, nil when there is none.
    ///   - usesBase: whether a part of it is stored as the difference.
    mutating func add(_ descriptor: TensorDescriptor, match: TensorDescriptor?, usesBase: Bool) {
        byteCount += descriptor.byteCount
        guard let match else { return missing += 1 }
        guard match.shape == descriptor.shape else { return shape += 1 }
        guard SkeinBase.serves(match.dtype, for: descriptor.dtype) else {
            dtype += 1
            let pair = Types(here: descriptor.dtype, there: match.dtype)
            if !types.contains(pair) { types.append(pair) }
            return
        }
        guard usesBase else { return noGain += 1 }
        gained += 1
        gainedByteCount += descriptor.byteCount
    }
}
