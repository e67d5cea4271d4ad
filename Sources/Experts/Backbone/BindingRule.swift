import Networks
import TensorCore

/// What a library calls the tensors of one part of a network, for all blocks at once.
///
/// `N` in names stands for the number of a block.
struct BindingRule: Sendable {
    /// A module of the layout, such as `norm`, or a single tensor, such as `cls_token`.
    let entry: String
    /// The same in the file. Several hold equal parts of the rows, one after the other, as q, k and v do of qkv.
    let files: [String]
    var form = Form.same
    /// Whether the names are those of modules, which have a `weight` and perhaps a `bias`.
    var isModule = false
    /// What older files call `weight` and `bias`.
    var aliases: [String: String] = [:]
    /// Whether models of the family may do without it.
    var isOptional = false
    /// What the file calls the first block, and how far the next is.
    var first = 0
    var step = 1

    /// How the shape in the file differs from that of the layout.
    enum Form: Sendable {
        case same
        /// Only so many of the last dimensions; those before are 1.
        case rank(Int)
        /// A matrix the other way round.
        case transposed
    }

    /// A linear layer, a layer norm or an embedding.
    static func module(_ entry: String, _ files: String..., aliases: [String: String] = [:]) -> BindingRule {
        BindingRule(entry: entry, files: files, isModule: true, aliases: aliases)
    }

    static func tensor(_ entry: String, _ file: String, _ form: Form = .same) -> BindingRule {
        BindingRule(entry: entry, files: [file], form: form)
    }

    /// The same, but models of the family may do without it.
    var optional: BindingRule {
        var rule = self
        rule.isOptional = true
        return rule
    }

    /// Tensors of the file that tell the first block's part, without those that may be missing.
    var evidence: [String] {
        isOptional ? [] : files.map { ModelTensors.numbered($0, first) + (isModule ? ".weight" : "") }
    }

    /// How the entry of a layout lies in a checkpoint.
    ///
    /// - Returns: nil when the rule is about another entry.
    func bindings(of entry: ParameterLayout.Entry, in tensors: ModelTensors) -> [TensorBinding]? {
        let (pattern, number) = Self.pattern(of: entry.name.text)
        let block = number.map { first + step * $0 }
        var suffix = ""
        if isModule {
            guard pattern.hasPrefix(self.entry + ".") else { return nil }
            suffix = String(pattern.dropFirst(self.entry.count + 1))
            guard !suffix.contains(".") else { return nil }
        } else if pattern != self.entry {
            return nil
        }
        let count = entry.range.count / files.count
        return files.enumerated().map { part, file in
            let start = entry.range.lowerBound + part * count
            let names = ([suffix] + (aliases[suffix].map { [$0] } ?? []))
                .map { tensors.name(isModule ? "\(file).\($0)" : file, block: block) }
            return TensorBinding(
                name: names.first { tensors.store.index(of: $0) != nil } ?? names[0], shape: shape(of: entry),
                range: start..<start + count, isTransposed: isTransposed)
        }
    }

    private var isTransposed: Bool { if case .transposed = form { true } else { false } }

    /// The shape that the file has.
    private func shape(of entry: ParameterLayout.Entry) -> Shape {
        let dims = entry.shape.dims
        switch form {
        case .same: return Shape([dims[0] / files.count] + dims.dropFirst())
        case .rank(let rank): return Shape(dims.suffix(rank))
        case .transposed: return Shape(dims.reversed())
        }
    }

    /// The name of an entry with `N` for the number of its block.
    private static func pattern(of name: String) -> (pattern: String, block: Int?) {
        let parts = name.split(separator: ".")
        guard parts.count > 2, let block = Int(parts[1]) else { return (name, nil) }
        return (([parts[0], "N"] + parts.dropFirst(2)).joined(separator: "."), block)
    }
}
