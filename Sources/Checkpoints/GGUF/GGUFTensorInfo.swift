import TensorCore

/// One tensor of a GGUF head, checked by itself; how the tensors lie to each other comes later.
struct GGUFTensorInfo {
    /// A name without bytes, no dimensions.
    static let leastByteCount = 24

    let descriptor: TensorDescriptor
    /// Where the tensor begins in the data; not yet compared with the file.
    let begin: UInt64
    /// Where the entry stands in the file.
    let byteOffset: Int

    /// Takes an entry and checks it in the order of the rules: name, rank, dimensions, type, size, offset.
    ///
    /// - Throws: `FormatError` with the tensor's name and the byte offset of the value at fault.
    init(from fields: inout GGUFFields, alignment: Int) throws(FormatError) {
        byteOffset = fields.position
        let text = try fields.takeString()
        let name = TensorName(text)
        guard text.utf8.count <= GGUFHeader.nameByteLimit else {
            throw fields.fault(
                .badName,
                "the name of tensor \"\(name)\" has \(text.utf8.count) bytes; at most \(GGUFHeader.nameByteLimit) are "
                    + "allowed", at: byteOffset, tensor: name)
        }
        let dims = try Self.takeDims(from: &fields, of: name)
        let number = try fields.take(UInt32.self)
        guard let layout = ElementLayout(ggmlNumber: number) else {
            throw fields.fault(
                .unknownDtype, "tensor \"\(name)\" has elements of type \(number), which is unknown",
                at: fields.position - 4, tensor: name)
        }
        let row = dims.last ?? 1
        guard row % layout.unit.elements == 0 else {
            throw fields.fault(
                .badShape,
                "tensor \"\(name)\" has rows of \(row) elements, which \(layout.name) cannot store: they must be a "
                    + "multiple of \(layout.unit.elements)", at: byteOffset, tensor: name)
        }
        do { descriptor = try TensorDescriptor(name: name, layout: layout, shape: Shape(dims)) } catch {
            throw fields.fault(
                .overflow, "tensor \"\(name)\" of shape \(Shape(dims)) is larger than 64 bits can count",
                at: byteOffset, tensor: name)
        }
        begin = try fields.take(UInt64.self)
        guard begin % UInt64(alignment) == 0 else {
            throw fields.fault(
                .badAlignment,
                "tensor \"\(name)\" begins at data byte \(begin), which is no multiple of the alignment \(alignment)",
                at: fields.position - 8, tensor: name)
        }
    }

    /// Takes the dimensions and turns them round: slowest first.
    private static func takeDims(from fields: inout GGUFFields, of name: TensorName) throws(FormatError) -> [Int] {
        let rank = try fields.take(UInt32.self)
        guard rank <= GGUFHeader.rankLimit else {
            throw fields.fault(
                .badShape, "tensor \"\(name)\" has \(rank) dimensions; at most \(GGUFHeader.rankLimit) are allowed",
                at: fields.position - 4, tensor: name)
        }
        var dims: [Int] = []
        for _ in 0..<rank {
            let dim = Int64(bitPattern: try fields.take(UInt64.self))
            guard dim >= 0 else {
                throw fields.fault(
                    .badShape, "tensor \"\(name)\" has the dimension \(dim)", at: fields.position - 8, tensor: name)
            }
            dims.append(Int(dim))
        }
        return dims.reversed()
    }
}
