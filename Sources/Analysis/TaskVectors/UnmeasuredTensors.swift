import Checkpoints
import TensorCore

/// Tensors that hold weights and have no task vector, for one reason.
public struct UnmeasuredTensors: Sendable, Hashable {
    /// "quantised (fp8)", or the type without arithmetic: "F8_E4M3".
    public let reason: String
    public private(set) var names: [TensorName] = []
    /// Their bytes in the base, and what part of the selected tensors' bytes that is, from 0 to 1.
    public private(set) var byteCount = 0
    public private(set) var share = 0.0

    /// The selected tensors of a base that cannot be measured, by reason. Buffers, such as integers, are no weights.
    static func all(
        in base: [TensorDescriptor], parts: Set<TensorName>, quantization: Quantization?
    ) -> [UnmeasuredTensors] {
        var found: [UnmeasuredTensors] = []
        for tensor in base {
            let isPart = parts.contains(tensor.name)
            guard isPart || !tensor.dtype.isComputable && !tensor.dtype.isInteger else { continue }
            let reason = isPart ? quantization?.phrase ?? "" : tensor.dtype.rawValue
            if let place = found.firstIndex(where: { $0.reason == reason }) {
                found[place].add(tensor)
            } else {
                var group = UnmeasuredTensors(reason: reason)
                group.add(tensor)
                found.append(group)
            }
        }
        let total = base.reduce(0) { $0 + Double($1.byteCount) }
        for place in found.indices where total > 0 { found[place].share = Double(found[place].byteCount) / total }
        return found
    }

    private init(reason: String) { self.reason = reason }

    private mutating func add(_ tensor: TensorDescriptor) {
        names.append(tensor.name)
        byteCount += tensor.byteCount
    }
}
