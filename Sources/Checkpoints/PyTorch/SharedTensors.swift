import TensorCore

/// Tensors of a checkpoint that are views of the same numbers, such as an embedding that is tied to the output layer.
public struct SharedTensors: Sendable, Hashable {
    /// In the order of the checkpoint.
    public let names: [TensorName]
    /// Whether all of them are the same view, and so the same tensor under several names.
    public let areEqual: Bool
}

extension SharedTensors {
    /// Finds the views that reach into each other.
    ///
    /// Views whose elements lie between those of another count as well, though they share none.
    static func groups(among views: [TorchView]) -> [SharedTensors] {
        var places: [TorchStorage.Key: [Int]] = [:]
        for (place, view) in views.enumerated() where !view.range.isEmpty {
            places[view.key, default: []].append(place)
        }
        var groups: [[Int]] = []
        for places in places.values where places.count > 1 {
            let sorted = places.sorted { (views[$0].range.lowerBound, $0) < (views[$1].range.lowerBound, $1) }
            var end = 0
            for place in sorted {
                if views[place].range.lowerBound < end {
                    groups[groups.count - 1].append(place)
                } else {
                    groups.append([place])
                }
                end = max(end, views[place].range.upperBound)
            }
        }
        return groups.filter { $0.count > 1 }.map { $0.sorted() }.sorted { $0[0] < $1[0] }.map { group in
            let first = views[group[0]]
            return SharedTensors(
                names: group.map { views[$0].descriptor.name },
                areEqual: group.allSatisfy { place in
                    let view = views[place]
                    return view.range == first.range && view.strides == first.strides
                        && view.elements.changedSigns == first.elements.changedSigns
                        && view.descriptor.shape == first.descriptor.shape
                        && view.descriptor.dtype == first.descriptor.dtype
                })
        }
    }

    /// A few lines about the groups; nil when there are none.
    static func warning(about groups: [SharedTensors]) -> Warning? {
        guard !groups.isEmpty else { return nil }
        let shown = 3
        let list = groups.prefix(shown).map { group in
            let names = group.names.prefix(4).map { "\"\($0)\"" }
            let more = group.names.count > names.count ? ["and \(group.names.count - names.count) more"] : []
            return (names + more).joined(separator: group.areEqual ? " = " : " ~ ")
        }
        let rest = groups.count > shown ? "; and \(groups.count - shown) more" : ""
        let count = groups.count == 1 ? "1 group of tensors shares" : "\(groups.count) groups of tensors share"
        return Warning(
            FormatWarning.sharedStorage,
            "\(count) numbers in the file (= the same, ~ views that overlap), and each is read as a tensor by itself: "
                + list.joined(separator: "; ") + rest)
    }
}
