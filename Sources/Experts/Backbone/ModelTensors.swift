import Checkpoints
import TensorCore

/// The tensors of a model inside a checkpoint, by their names without what stands before all of them.
struct ModelTensors: Sendable {
    let store: TensorStore
    /// Such as `vit.` or `module.`; may be empty.
    let prefix: String
    var spelling = Spelling.written

    /// The name in the file of what the library writes under a name. `../` leaves the module that the prefix ends with, as in a path.
    func name(_ name: String, block: Int? = nil) -> TensorName {
        var (prefix, name) = (prefix[...], name[...])
        while name.hasPrefix("../") {
            name = name.dropFirst(3)
            prefix = prefix.dropLast()
            prefix = prefix.lastIndex(of: ".").map { prefix[...$0] } ?? ""
        }
        return TensorName(prefix + spelling(block.map { Self.numbered(String(name), $0) } ?? String(name)))
    }

    /// A name with the number of a block in place of `N`, where a part of it ends so.
    static func numbered(_ pattern: String, _ block: Int) -> String {
        pattern.split(separator: ".", omittingEmptySubsequences: false)
            .map { $0.hasSuffix("N") ? "\($0.dropLast())\(block)" : String($0) }.joined(separator: ".")
    }

    func has(_ name: String) -> Bool { store.index(of: self.name(name)) != nil }

    /// A dimension of a tensor that is there and has so many of them; cut to what can be added up and is far beyond any network.
    func size(_ name: String, _ axis: Int, rank: Int) -> Int? {
        guard let shape = store.descriptor(named: self.name(name))?.shape, shape.rank == rank else { return nil }
        return min(shape.dims[axis], 1 << 40)
    }

    /// How many blocks have a tensor, counted from 0.
    func count(of pattern: String) -> Int {
        (0...).prefix { store.index(of: name(pattern, block: $0)) != nil }.count
    }

    /// The side of a square image, from the number of its patches.
    static func imageSide(patches: Int?, patch: Int) -> Int? {
        guard let patches, patches > 0, patch > 0, patch <= 1 << 20, patches <= 1 << 40 else { return nil }
        let side = Int(Double(patches).squareRoot())
        return side * side == patches ? side * patch : nil
    }
}
