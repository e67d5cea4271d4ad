extension Array {
    /// The elements in their order, but those of one parent whose names end in numbers, such as `blocks.10` and `blocks.2`, in the order of
    /// the numbers: files that list names as texts have the tenth before the second.
    ///
    /// - Parameter name: of an element, its parts between dots.
    public func inOrderOfNumbers(_ name: (Element) -> TensorName) -> [Element] {
        var families: [TensorName: [(place: Int, number: String)]] = [:]
        for (place, element) in enumerated() {
            let parts = name(element).text.split(separator: ".", omittingEmptySubsequences: false)
            guard let last = parts.last, last.isNumber else { continue }
            let parent = TensorName(parts.dropLast().joined(separator: "."))
            families[parent, default: []].append((place, String(last.drop { $0 == "0" })))
        }
        var ordered = self
        for members in families.values {
            // Of two numbers without zeros in front, the longer one is larger; any number of digits is one.
            let sorted = members.sorted {
                ($0.number.utf8.count, $0.number, $0.place) < ($1.number.utf8.count, $1.number, $1.place)
            }
            for (member, other) in zip(members, sorted) { ordered[member.place] = self[other.place] }
        }
        return ordered
    }
}

extension Substring {
    /// Whether it is one or more digits.
    package var isNumber: Bool { !isEmpty && utf8.allSatisfy { (0x30...0x39).contains($0) } }
}
