/// Where values lie in an object: those whose keys begin alike, up to a dot, lie in one object, at the place of the first.
struct KeyTree {
    private enum Node {
        case value(Int)
        case object(KeyTree)
    }

    private let members: [(key: String, node: Node)]

    init(of table: Report.Table) { self.init(table.columns.map(\.key)) }

    /// Arranges keys with dots.
    ///
    /// - Parameter keys: of values by their places; nil for what is left out.
    init(_ keys: [String?]) {
        self.init(
            keys.enumerated().compactMap { place, key in key.map { ($0.split(separator: ".")[...], place) } })
    }

    private init(_ paths: [(path: ArraySlice<Substring>, place: Int)]) {
        var keys: [Substring] = []
        var groups: [Substring: [(path: ArraySlice<Substring>, place: Int)]] = [:]
        for (path, place) in paths {
            guard let key = path.first else { continue }
            if groups[key] == nil { keys.append(key) }
            groups[key, default: []].append((path.dropFirst(), place))
        }
        members = keys.map { key in
            let group = groups[key] ?? []
            return (String(key), group[0].path.isEmpty ? .value(group[0].place) : .object(KeyTree(group)))
        }
    }

    /// The object of values, without those that are absent.
    func object(_ values: [Report.Value]) -> JSONOutput {
        .object(
            members.compactMap { key, node in
                switch node {
                case .value(let place):
                    if case .absent = values[place] { return nil }
                    return .init(key, values[place].json)
                case .object(let tree):
                    let object = tree.object(values)
                    return object == .object([]) ? nil : .init(key, object)
                }
            })
    }
}
