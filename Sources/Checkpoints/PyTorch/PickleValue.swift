/// A value that a pickle builds. Values refer to each other by their places in a `PickleArena`, so that one may contain itself,
/// and releasing a deeply nested one takes no stack.
enum PickleValue {
    typealias ID = Int

    case none
    case bool(Bool)
    case int(Int)
    case float(Double)
    /// UTF-8 text, where it lies in the pickle.
    case string(Range<Int>)
    case tuple([ID])
    case list([ID])
    case dict([Entry])
    /// A name of the allow-list; never more than a name.
    case global(TorchGlobal)
    /// A persistent identifier of a storage.
    indirect case storage(TorchStorage)
    indirect case tensor(TorchTensor)
    /// An object of a TorchScript class: its attributes, once they are known.
    case scriptObject(attributes: ID?)
    /// A tensor that is not a strided array of numbers: what PyTorch calls its kind, and where the pickle makes it.
    indirect case unsupportedTensor(String, byteOffset: Int)
    /// Data that is of no interest, in few words: "a set".
    case opaque(String)

    struct Entry {
        let key, value: ID
    }

    /// Whether Python takes it for a key of a dictionary.
    var isHashable: Bool {
        switch self {
        case .list, .dict: false
        default: true
        }
    }
}

/// All values of a pickle, with the bytes in which their texts lie.
struct PickleArena {
    private(set) var values: [PickleValue] = []

    /// Containers in containers. PyTorch itself stops where Python's stack ends.
    static let maximumDepth = 200

    subscript(id: PickleValue.ID) -> PickleValue { values[id] }

    mutating func insert(_ value: PickleValue) -> PickleValue.ID {
        values.append(value)
        return values.count - 1
    }

    /// Replaces a value, after taking it out so that its contents grow in place.
    mutating func modify<R>(_ id: PickleValue.ID, _ body: (inout PickleValue) -> R) -> R {
        var value = PickleValue.none
        swap(&value, &values[id])
        defer { swap(&value, &values[id]) }
        return body(&value)
    }

    /// The values that a value contains itself; nil for one that is no container.
    func children(of id: PickleValue.ID) -> [PickleValue.ID]? {
        switch values[id] {
        case .tuple(let items), .list(let items): items
        case .dict(let entries):
            [PickleValue.ID](unsafeUninitializedCapacity: 2 * entries.count) { items, count in
                for entry in entries {
                    items.initializeElement(at: count, to: entry.key)
                    items.initializeElement(at: count + 1, to: entry.value)
                    count += 2
                }
            }
        case .scriptObject(let attributes): attributes.map { [$0] } ?? []
        default: nil
        }
    }

    /// How many values a value contains itself.
    func childCount(of id: PickleValue.ID) -> Int {
        switch values[id] {
        case .tuple(let items), .list(let items): items.count
        case .dict(let entries): 2 * entries.count
        default: 0
        }
    }

    /// The containers that a value is made of, each of them after those that it contains and once, however many paths lead to it.
    ///
    /// - Returns: nil when they lie in each other too deeply, or in themselves.
    func containers(below root: PickleValue.ID) -> [PickleValue.ID]? {
        guard let children = children(of: root) else { return [] }
        var order: [PickleValue.ID] = []
        // How many containers lie in each other from a container on; 0 for one that was not seen, -1 on the path at hand.
        var heights = [Int16](repeating: 0, count: values.count)
        var path: [(id: PickleValue.ID, children: [PickleValue.ID], next: Int, height: Int16)] = []
        heights[root] = -1
        path.append((root, children, 0, 1))
        while let top = path.last {
            let last = path.count - 1
            if top.next == top.children.count {
                heights[top.id] = top.height
                order.append(top.id)
                path.removeLast()
                if last > 0 { path[last - 1].height = max(path[last - 1].height, top.height + 1) }
            } else {
                path[last].next += 1
                let child = top.children[top.next]
                switch heights[child] {
                case -1: return nil
                case 0:
                    guard let children = self.children(of: child) else { continue }
                    heights[child] = -1
                    path.append((child, children, 0, 1))
                case let height: path[last].height = max(top.height, height + 1)
                }
            }
            if path.count > Self.maximumDepth || (path.last?.height ?? 0) > Self.maximumDepth { return nil }
        }
        return order
    }
}
