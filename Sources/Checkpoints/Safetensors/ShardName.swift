import SystemPackage
import TensorCore

/// The name of one file of a split checkpoint: `model-00001-of-00003.safetensors`.
package struct ShardName {
    /// What stands before the numbers, with the variant where there is one: `model.fp16` of
    /// `model.fp16-00001-of-00003.safetensors` and of `model-00001-of-00003.fp16.safetensors`.
    package let stem: String
    let number: Int
    let count: Int

    init(stem: String, number: Int, count: Int) {
        self.stem = stem
        self.number = number
        self.count = count
    }

    /// Reads a name; nil when it is not one of a shard.
    package init?(_ name: String) {
        guard let file = FilePath.Component(name)?.stem else { return nil }
        let parts = file.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count >= 4, parts[parts.count - 2] == "of", let number = Self.number(parts[parts.count - 3]) else {
            return nil
        }
        let last = parts[parts.count - 1].split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let count = Self.number(last[0]) else { return nil }
        let variant = last.dropFirst().map { ".\($0)" }.joined()
        self.init(stem: parts.dropLast(3).joined(separator: "-") + variant, number: number, count: count)
    }

    /// Whether a name is that of another part of the same checkpoint.
    func isBeside(_ name: String) -> Bool {
        guard let other = ShardName(name) else { return false }
        return other.stem == stem && other.count == count && other.number != number
    }

    var text: String { text(withExtension: "safetensors") }

    func text(withExtension fileExtension: String) -> String {
        "\(stem)-\(Self.fiveDigits(number))-of-\(Self.fiveDigits(count)).\(fileExtension)"
    }

    /// Removes the temporary files that killed runs of an output left, into whatever number of shards they split it.
    static func removeStale(of file: FilePath) {
        let stem = file.stem
        StaleOutputs.remove(in: file.removingLastComponent()) { name in
            ShardName(name)?.stem == stem || name == "\(stem ?? "model").safetensors.index.json"
        }
    }

    private static func number(_ digits: Substring) -> Int? {
        digits.count >= 5 && digits.allSatisfy(\.isASCII) ? Int(digits) : nil
    }

    private static func fiveDigits(_ number: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
    }
}
