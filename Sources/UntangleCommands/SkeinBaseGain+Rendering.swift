import Checkpoints
import Reporting
import TensorCore

extension SkeinBaseGain {
    /// Whether the base was of use for most of the data.
    var isMost: Bool { gainedByteCount > byteCount / 2 || byteCount == 0 }

    /// One line: how many tensors gained, and why the others did not.
    var text: String {
        func part(_ count: Int, _ one: String, _ many: String) -> String? {
            count == 0 ? nil : "\(count.grouped) \(count == 1 ? one : many)"
        }
        let pair = types.first.map {
            "\(types.count == 1 ? ":" : ", such as") \($0.here.rawValue) here, \($0.there.rawValue) there"
        }
        let reasons = [
            part(missing, "is not in it", "are not in it"),
            part(shape, "differs in shape", "differ in shape"),
            part(dtype, "differs in type", "differ in type").map { $0 + (pair ?? "") },
            part(noGain, "is no shorter with it", "are no shorter with it"),
        ].compactMap { $0 }
        return "\(gained.grouped) of \(tensors.grouped) \(tensors == 1 ? "tensor" : "tensors") gained from the base"
            + (reasons.isEmpty ? "" : " (\(reasons.joined(separator: "; ")))")
    }

    var facts: [Report.Fact] {
        [
            .init("gained", .integer(gained)), .init("tensors", .integer(tensors)),
            .init("missing", .integer(missing)), .init("shape", .integer(shape)), .init("dtype", .integer(dtype)),
            .init("no_gain", .integer(noGain)),
        ]
    }
}
