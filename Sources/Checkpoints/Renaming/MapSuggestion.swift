import TensorCore

/// The rules by which most tensors of a model get the names that those of another have.
///
/// Variants of one architecture are often saved with and without the name of an outer module, such as `model.` or `base_model.model.`, also
/// in the middle of names; then nearly every tensor is missing on both sides, and one rule makes the models fit. Rules are guessed
/// from pairs of names that end alike, and tried on all of them; tensors meet if they also have one shape.
public struct MapSuggestion: Sendable, Hashable {
    public let map: NameMap
    /// The tensors that the rules bring together, under the names that both models have for them.
    public let names: Set<TensorName>

    private static let ruleLimit = 8
    private static let sampleCount = 8
    private static let candidateLimit = 24

    /// Looks for rules.
    ///
    /// - Parameters:
    ///   - model: the tensors that are to be renamed.
    ///   - reference: those whose names are wanted.
    /// - Returns: nil when no rules bring together at least half of the tensors that only one of the two has.
    public init?(for model: [TensorDescriptor], toMatch reference: [TensorDescriptor]) {
        let (own, wanted) = (Set(model.map(\.name)), Set(reference.map(\.name)))
        var missing = reference.filter { !own.contains($0.name) }
        var extra = model.filter { !wanted.contains($0.name) }.map { Renamed(tensor: $0, name: $0.name) }
        let least = min(missing.count, extra.count)
        guard least > 0 else { return nil }
        var rules: [String] = []
        var found: Set<TensorName> = []
        for _ in 0..<Self.ruleLimit {
            let shapes = Dictionary(missing.map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
            guard let best = Self.best(Self.candidates(missing, extra), extra, shapes) else { break }
            rules.append(best.text)
            var met: Set<TensorName> = []
            extra = extra.compactMap { entry in
                let name = best.replacement(entry.name)
                guard shapes[name] == entry.tensor.shape else { return Renamed(tensor: entry.tensor, name: name) }
                met.insert(name)
                found.formUnion([name, entry.tensor.name])
                return nil
            }
            missing.removeAll { met.contains($0.name) }
        }
        // Every pair has two names.
        guard found.count >= least, let map = try? NameMap(rules) else { return nil }
        let renamed = try? Renaming(map.renames).names(
            of: model.map(\.name), keeping: wanted.contains, collision: { _ in RenameError(.map, "") })
        guard renamed != nil else { return nil }
        self.map = map
        names = found
    }

    /// A tensor without counterpart, and what the rules so far call it.
    private struct Renamed {
        let tensor: TensorDescriptor
        let name: TensorName
    }

    /// A rule that would bring at least one pair of tensors together.
    private struct Candidate {
        let text: String
        let replacement: SegmentReplacement
        /// Whether it only puts parts into names or takes them out, which a single tensor shows already.
        let isShift: Bool
    }

    /// The candidate that brings most tensors together; of several the shortest.
    private static func best(
        _ candidates: [Candidate], _ extra: [Renamed], _ shapes: [TensorName: Shape]
    ) -> Candidate? {
        let scored = candidates.map { candidate in
            (candidate, extra.count { shapes[candidate.replacement($0.name)] == $0.tensor.shape })
        }
        let useful = scored.filter { $0.1 >= ($0.0.isShift ? 1 : 2) }
        return useful.min { ($1.1, $0.0.text.utf8.count) < ($0.1, $1.0.text.utf8.count) }?.0
    }

    /// Rules for some of the missing names, each with the names that end most like it.
    private static func candidates(_ missing: [TensorDescriptor], _ extra: [Renamed]) -> [Candidate] {
        let named = extra.map { (tensor: $0.tensor, parts: parts(of: $0.name)) }
        var candidates: [Candidate] = []
        var texts: Set<String> = []
        let stride = max(1, missing.count / sampleCount)
        for sample in missing.enumerated().filter({ $0.offset % stride == 0 }).map(\.element) {
            let target = parts(of: sample.name)
            var longest = 1
            var nearest: [[Substring]] = []
            for other in named where other.tensor.shape == sample.shape {
                let common = commonSuffix(target, other.parts)
                if common > longest { nearest = [] }
                if common >= longest { nearest.append(other.parts) }
                longest = max(longest, common)
            }
            for other in nearest.prefix(4) {
                for candidate in rules(from: other, to: target) where texts.insert(candidate.text).inserted {
                    candidates.append(candidate)
                }
            }
            if candidates.count >= candidateLimit { break }
        }
        return candidates
    }

    /// The rules that make one name of another: of what differs between their common beginning and end, alone, and with a part of
    /// either.
    private static func rules(from name: [Substring], to target: [Substring]) -> [Candidate] {
        let shorter = min(name.count, target.count)
        let before = zip(name, target).prefix { $0 == $1 }.count
        let behind = min(commonSuffix(name, target), shorter - min(before, shorter))
        let isShift = before + behind == shorter
        return [(0, 0), (1, 0), (0, 1)].compactMap { left, right in
            guard left <= before, right <= behind else { return nil }
            let from = name[(before - left)..<(name.count - behind + right)]
            let to = target[(before - left)..<(target.count - behind + right)]
            // What has no place to stand goes before all names, and layers keep their numbers.
            guard !from.isEmpty || before == 0, (from + to).allSatisfy({ Int($0) == nil && !$0.contains("=") }) else {
                return nil
            }
            let (old, new) = (from.joined(separator: "."), to.joined(separator: "."))
            guard let replacement = SegmentReplacement(from: old, to: new) else { return nil }
            return Candidate(text: "\(old)=\(new)", replacement: replacement, isShift: isShift)
        }
    }

    private static func commonSuffix(_ a: [Substring], _ b: [Substring]) -> Int {
        zip(a.reversed(), b.reversed()).prefix { $0 == $1 }.count
    }

    private static func parts(of name: TensorName) -> [Substring] {
        name.text.split(separator: ".", omittingEmptySubsequences: false)
    }
}

extension MapSuggestion {
    /// The rules for several models together, as they are typed; nil when there are none.
    public static func options(of suggestions: [MapSuggestion?]) -> String? {
        var rules: [String] = []
        for rule in suggestions.compactMap({ $0 }).flatMap(\.map.rules) where !rules.contains(rule) {
            rules.append(rule)
        }
        return rules.isEmpty ? nil : (try? NameMap(rules))?.options
    }
}
