import TensorCore

/// The rules by which most tensors of a model get the names that those of another have.
///
/// Variants of one architecture are often saved with and without the name of an outer module, such as `model.` or `base_model.model.`, also
/// in the middle of names; then nearly every tensor is missing on both sides, and one rule makes the models fit. Rules are guessed
/// from pairs of names that end alike, and tried on all of them; tensors meet if they also have one shape. Where shapes leave a choice, as
/// between the queries and the output of an attention, words that have to do with each other decide, and otherwise nothing is suggested.
public struct MapSuggestion: Sendable, Hashable {
    public let map: NameMap
    /// The tensors that the rules bring together, under the names that both models have for them.
    public let names: Set<TensorName>

    private static let ruleLimit = 8
    private static let sampleCount = 16
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
            guard let best = Self.best(Self.candidates(missing, extra, shapes)) else { break }
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

    /// A rule that would bring tensors together.
    private struct Candidate {
        let text: String
        let replacement: SegmentReplacement
        /// What it takes out of names, and what it puts there.
        let from, to: [Substring]
        /// Whether it only puts parts into names or takes them out, which a single tensor shows already.
        let isShift: Bool
        /// How many tensors it brings together.
        var count = 0
    }

    /// The candidate that brings most tensors together; of several the shortest.
    private static func best(_ candidates: [Candidate]) -> Candidate? {
        candidates.min { ($1.count, $0.text.utf8.count) < ($0.count, $1.text.utf8.count) }
    }

    /// Rules for some of the missing names, each with the names that end most like it, of those with the names that have words like it.
    private static func candidates(
        _ missing: [TensorDescriptor], _ extra: [Renamed], _ shapes: [TensorName: Shape]
    ) -> [Candidate] {
        let named = extra.map { (tensor: $0.tensor, parts: parts(of: $0.name)) }
        var candidates: [Candidate] = []
        var texts: Set<String> = []
        // One of each kind, whatever its layer.
        var kinds: Set<[Substring]> = []
        let samples = missing.filter { kinds.insert(parts(of: $0.name).filter { Int($0) == nil }).inserted }
        let stride = max(1, samples.count / sampleCount)
        for sample in samples.enumerated().filter({ $0.offset % stride == 0 }).map(\.element) {
            let target = parts(of: sample.name)
            var longest = 1
            var nearest: [[Substring]] = []
            for other in named where other.tensor.shape == sample.shape {
                let common = commonSuffix(target, other.parts)
                if common > longest { nearest = [] }
                if common >= longest { nearest.append(other.parts) }
                longest = max(longest, common)
            }
            let words = NameWords(target)
            let related = nearest.prefix(64).map { (parts: $0, relation: NameWords($0).relation(to: words)) }
                .sorted { $0.relation > $1.relation }
            for other in related.prefix(4).map(\.parts) {
                for var candidate in rules(from: other, to: target) where texts.insert(candidate.text).inserted {
                    let pairs = extra.compactMap { entry in
                        let name = candidate.replacement(entry.name)
                        return shapes[name] == entry.tensor.shape ? (own: entry, wanted: name) : nil
                    }
                    candidate.count = pairs.count
                    guard pairs.count >= (candidate.isShift ? 1 : 2),
                        candidate.isShift || isCertain(candidate, pairs, missing, extra, shapes)
                    else { continue }
                    candidates.append(candidate)
                }
            }
            if candidates.count >= candidateLimit { break }
        }
        return candidates
    }

    /// Whether no other rule brings the same tensors together with others, or the words of this one have more to do with each other.
    ///
    /// - Parameter pairs: the tensors that the rule brings together.
    private static func isCertain(
        _ rule: Candidate, _ pairs: [(own: Renamed, wanted: TensorName)], _ missing: [TensorDescriptor],
        _ extra: [Renamed], _ shapes: [TensorName: Shape]
    ) -> Bool {
        guard let (own, wanted) = pairs.first, let place = Place(of: rule.from, in: parts(of: own.name)),
            place.with(rule.to) == parts(of: wanted)
        else { return false }
        let (from, to) = (NameWords(rule.from), NameWords(rule.to))
        let relation = from.relation(to: to)
        func replacement(_ old: [Substring], _ new: [Substring]) -> SegmentReplacement? {
            SegmentReplacement(from: old.joined(separator: "."), to: new.joined(separator: "."))
        }
        // Other names for what is renamed.
        for other in missing where other.shape == own.tensor.shape {
            guard let run = place.run(in: parts(of: other.name)), run != rule.to,
                from.relation(to: NameWords(run)) >= relation, let rival = replacement(rule.from, run)
            else { continue }
            if pairs.allSatisfy({ shapes[rival($0.own.name)] == $0.own.tensor.shape }) { return false }
        }
        // Others for the names.
        let ownShapes = Dictionary(extra.map { ($0.name, $0.tensor.shape) }, uniquingKeysWith: { first, _ in first })
        for other in extra where other.tensor.shape == own.tensor.shape {
            guard let run = place.run(in: parts(of: other.name)), run != rule.from,
                NameWords(run).relation(to: to) >= relation, let rival = replacement(rule.to, run)
            else { continue }
            if pairs.allSatisfy({ ownShapes[rival($0.wanted)] == $0.own.tensor.shape }) { return false }
        }
        return true
    }

    /// What stands before and behind some parts of a name.
    private struct Place {
        private let before, behind: ArraySlice<Substring>

        /// Finds the first place; nil when the name does not have the parts.
        init?(of run: [Substring], in name: [Substring]) {
            guard run.count <= name.count,
                let start = (0...name.count - run.count).first(where: { name[$0..<$0 + run.count].elementsEqual(run) })
            else { return nil }
            (before, behind) = (name[..<start], name[(start + run.count)...])
        }

        func with(_ run: [Substring]) -> [Substring] { before + run + behind }

        /// What another name has there; nil when it is not between the same parts, or has the number of a layer.
        func run(in name: [Substring]) -> [Substring]? {
            let end = name.count - behind.count
            guard before.count < end, name.starts(with: before), name[end...].elementsEqual(behind) else { return nil }
            let run = Array(name[before.count..<end])
            return run.allSatisfy { Int($0) == nil } ? run : nil
        }
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
            return Candidate(
                text: "\(old)=\(new)", replacement: replacement, from: Array(from), to: Array(to), isShift: isShift)
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
