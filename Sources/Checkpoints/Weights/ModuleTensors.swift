import TensorCore

/// The tensors of a checkpoint by module: what stands before the last dot of their names.
struct ModuleTensors {
    /// The tensors of a module by what stands behind the dot.
    typealias Leaves = [String: TensorDescriptor]

    private let leaves: [TensorName: Leaves]
    /// The modules in the order of the file.
    let order: [TensorName]

    init(_ descriptors: [TensorDescriptor]) {
        var leaves: [TensorName: Leaves] = [:]
        var order: [TensorName] = []
        for descriptor in descriptors {
            let (module, leaf) = Self.split(descriptor.name)
            if leaves[module] == nil { order.append(module) }
            leaves[module, default: [:]][leaf] = descriptor
        }
        self.leaves = leaves
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
