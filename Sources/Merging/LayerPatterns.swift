import Checkpoints
import TensorCore

/// Shell patterns for tensors, one for the same tensor of all layers where that is possible.
///
/// `model.layers.*.self_attn.rotary_emb.inv_freq` rather than a line for each of 32 layers. As `*` crosses dots, a pattern may
/// match more than it should: then the numbers are written digit by digit.
package struct LayerPatterns {
    /// The tensors that stand together, in the order of their first.
    private(set) var groups: [(patterns: [String], names: [TensorName])] = []

    /// Groups names and finds patterns for each group.
    ///
    /// - Parameter all: the names among which the patterns of a group match no others.
    init(_ names: [TensorName], among all: NameEndings) {
        var places: [TensorName: Int] = [:]
        for name in names {
            let form = TensorName(Self.pattern(for: name) { _ in "*" })
            if let place = places[form] {
                groups[place].names.append(name)
            } else {
                places[form] = groups.count
                groups.append(([form.text], [name]))
            }
        }
        for place in groups.indices {
            let (patterns, own) = groups[place]
            guard own.count > 1 else {
                groups[place].patterns = [Self.escaped(own[0].text)]
                continue
            }
            let members = Set(own)
            func hasStrays(_ texts: [String]) -> Bool {
                let pattern = TensorPatterns(texts)
                return all.names(endingLike: own[0]).contains { !members.contains($0) && pattern.contains($0) }
            }
            guard hasStrays(patterns) else { continue }
            // Of some layers among others only their names will do.
            let digits = Self.digitByDigit(own)
            groups[place].patterns = hasStrays(digits) ? own.map { Self.escaped($0.text) } : digits
        }
    }

    /// Patterns for tensors that are to be named in one go: one for each module that has no other tensors, as high up as possible,
    /// else one for the same tensor of all layers.
    ///
    /// - Parameter all: the names of the model.
    package static func ofModules(_ names: [TensorName], besides all: [TensorName]) -> [String] {
        let wanted = Set(names)
        let others = all.filter { !wanted.contains($0) }
        func root(_ name: TensorName) -> String? {
            name.text.split(separator: ".", maxSplits: 1).count == 2
                ? String(name.text.prefix { $0 != "." }) : nil
        }
        let mixed = Set(others.compactMap(root))
        var (whole, rest) = ([String](), [TensorName]())
        var seen: Set<String> = []
        for name in names {
            guard let root = root(name), !mixed.contains(root) else {
                rest.append(name)
                continue
            }
            if seen.insert(root).inserted { whole.append(escaped(root) + ".*") }
        }
        return whole + LayerPatterns(rest, among: NameEndings(all)).groups.flatMap(\.patterns)
    }

    private static func digitByDigit(_ names: [TensorName]) -> [String] {
        var seen: Set<String> = []
        return names.map { name in
            pattern(for: name) { String(repeating: "[0-9]", count: $0.utf8.count) }
        }.filter { seen.insert($0).inserted }
    }

    /// The name with each number between dots replaced.
    private static func pattern(for name: TensorName, _ number: (Substring) -> String) -> String {
        name.text.split(separator: ".", omittingEmptySubsequences: false).map { part in
            isNumber(part) ? number(part) : escaped(String(part))
        }.joined(separator: ".")
    }

    private static func isNumber(_ part: Substring) -> Bool {
        !part.isEmpty && part.utf8.allSatisfy { (0x30...0x39).contains($0) }
    }

    /// Whether a part between dots is a number, which patterns replace.
    static func hasNumber(_ name: TensorName) -> Bool { name.text.split(separator: ".").contains(where: isNumber) }

    private static func escaped(_ text: String) -> String {
        guard text.contains(where: { "*?[\\".contains($0) }) else { return text }
        return text.reduce(into: "") { $0 += "*?[\\".contains($1) ? "\\\($1)" : "\($1)" }
    }
}

/// Names by how they end, so that of 100,000 only those are compared with a pattern that it may match.
struct NameEndings {
    private let all: [TensorName]
    private let byEnding: [TensorName: [TensorName]]

    init(_ names: [TensorName]) {
        all = names
        var byEnding: [TensorName: [TensorName]] = [:]
        for name in names {
            for count in 1...2 {
                if let ending = Self.ending(of: name, count) { byEnding[ending, default: []].append(name) }
            }
        }
        self.byEnding = byEnding
    }

    /// The names that a pattern for a name may match in which numbers between dots are replaced.
    func names(endingLike name: TensorName) -> [TensorName] {
        for count in [2, 1] {
            guard let ending = Self.ending(of: name, count), !LayerPatterns.hasNumber(ending) else { continue }
            return byEnding[ending] ?? []
        }
        return all
    }

    /// The last parts of a name with the dot before them; nil when it has no more than these.
    private static func ending(of name: TensorName, _ count: Int) -> TensorName? {
        let text = name.text
        var place = text.utf8.endIndex
        for _ in 0..<count {
            guard let dot = text.utf8[..<place].lastIndex(of: UInt8(ascii: ".")) else { return nil }
            place = dot
        }
        return TensorName(String(text[place...]))
    }
}
