import TensorCore

/// The tensors of a checkpoint by module: what stands before the last dot of their names.
struct ModuleTensors {
    /// The tensors of a module by what stands behind the dot.
    struct Leaves {
        /// In the order of their bytes, so that those with one beginning stand together.
        let names: [String]
        private let tensors: [String: TensorDescriptor]

        fileprivate init(_ tensors: [String: TensorDescriptor]) {
            self.tensors = tensors
            names = tensors.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        }

        subscript(name: String) -> TensorDescriptor? { tensors[name] }

        var all: some Collection<TensorDescriptor> { tensors.values }

        /// The names that begin with a text; found without a look at all of them.
        func names(startingWith start: String) -> some Collection<String> {
            var (first, end) = (names.startIndex, names.endIndex)
            while first < end {
                let middle = first + (end - first) / 2
                if names[middle].utf8.lexicographicallyPrecedes(start.utf8) { first = middle + 1 } else { end = middle }
            }
            return names[first...].prefix { $0.utf8.starts(with: start.utf8) }
        }
    }

    private let leaves: [TensorName: Leaves]
    /// The modules in the order of the file.
    let order: [TensorName]

    init(_ descriptors: [TensorDescriptor]) {
        var tensors: [TensorName: [String: TensorDescriptor]] = [:]
        var order: [TensorName] = []
        for descriptor in descriptors {
            let (module, leaf) = Self.split(descriptor.name)
            if tensors[module] == nil { order.append(module) }
            tensors[module, default: [:]][leaf] = descriptor
        }
        leaves = tensors.mapValues(Leaves.init)
        self.order = order
    }

    subscript(module: TensorName) -> Leaves? { leaves[module] }

    static func split(_ name: TensorName) -> (module: TensorName, leaf: String) {
        let text = name.text
        guard let dot = text.utf8.lastIndex(of: UInt8(ascii: ".")) else { return (TensorName(""), text) }
        return (TensorName(String(text[..<dot])), String(text[text.utf8.index(after: dot)...]))
    }

    static func join(_ module: TensorName, _ leaf: String) -> TensorName {
        TensorName(module.text.isEmpty ? leaf : "\(module.text).\(leaf)")
    }
}
