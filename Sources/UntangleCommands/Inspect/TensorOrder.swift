import ArgumentParser
import Checkpoints

/// How a list of tensors is sorted.
enum TensorOrder: String, ExpressibleByArgument, CaseIterable {
    /// By name, byte by byte.
    case name
    /// The largest first.
    case size
    /// As in the file.
    case file

    /// The positions of tensors in this order; equals keep the order of the file.
    func sorted(_ indices: [Int], of reader: any CheckpointReader) -> [Int] {
        let descriptors = reader.descriptors
        return switch self {
        case .file: indices
        case .name:
            indices.sorted { (descriptors[$0].name, $0) < (descriptors[$1].name, $1) }
        case .size:
            indices.sorted { a, b in
                (descriptors[b].byteCount, a) < (descriptors[a].byteCount, b)
            }
        }
    }
}
