import TensorCore

/// Sums of tensors by dotted module: `blocks.0.attn.qkv.weight` counts for `blocks`, `blocks.0`, `blocks.0.attn` and
/// `blocks.0.attn.qkv`.
struct ModuleTree {
    struct Module {
        let path: String
        /// The last part of the path.
        let name: String
        let depth: Int
        var totals = TensorTotals()
    }

    /// Every module before its submodules, in the order in which tensors were added, numbered ones in that of their numbers.
    private(set) var modules: [Module] = []
    /// Tensors without a dot in their name, which belong to no module.
    private(set) var loose: [TensorDescriptor] = []

    /// What lies deeper counts for the module at this level: a name is a stranger's text and may be all dots.
    static let deepestLevel = 64

    init(_ tensors: [TensorDescriptor]) {
        var root = Node()
        for tensor in tensors {
            // Kept as names: two texts that Swift takes for equal may differ in bytes.
            let parts = tensor.name.text.split(separator: ".", omittingEmptySubsequences: false).map {
                TensorName(String($0))
            }
            if parts.count == 1 {
                loose.append(tensor)
            } else {
                root.add(tensor, path: parts.dropLast().prefix(Self.deepestLevel))
            }
        }
        collect(root.children, prefix: "", depth: 0)
    }

    private mutating func collect(_ nodes: [Node], prefix: String, depth: Int) {
        for node in nodes.inOrderOfNumbers(\.name) {
            let path = prefix + node.name.text
            modules.append(Module(path: path, name: node.name.text, depth: depth, totals: node.totals))
            collect(node.children, prefix: path + ".", depth: depth + 1)
        }
    }

    private struct Node {
        var name: TensorName = ""
        var totals = TensorTotals()
        var children: [Node] = []
        var places: [TensorName: Int] = [:]

        mutating func add(_ tensor: TensorDescriptor, path: ArraySlice<TensorName>) {
            totals.add(tensor)
            guard let first = path.first else { return }
            let place = places[first] ?? children.count
            if place == children.count {
                places[first] = place
                children.append(Node(name: first))
            }
            children[place].add(tensor, path: path.dropFirst())
        }
    }
}

/// How many tensors, parameters and bytes.
struct TensorTotals: Sendable, Equatable {
    var tensors = 0
    var parameters = 0
    var byteCount = 0

    init(_ tensors: some Sequence<TensorDescriptor> = []) { tensors.forEach { add($0) } }

    /// Sums cannot overflow in a checkpoint that fits on a disk; a header may still lie about empty data.
    mutating func add(_ tensor: TensorDescriptor) {
        tensors += 1
        parameters = parameters.addingReportingOverflow(tensor.elementCount).partialValue
        byteCount = byteCount.addingReportingOverflow(tensor.byteCount).partialValue
    }
}
