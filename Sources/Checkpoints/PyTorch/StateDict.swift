import TensorCore

/// The tensors of a pickled object by dotted names, and what it holds besides them.
///
/// Dictionaries are walked, their keys being texts or numbers; below a root that was asked for, lists and tuples are, too. A
/// container without tensors is never entered, so that what is walked is bounded by the tensors that come of it, however often
/// the containers share their contents.
struct StateDict {
    enum Content {
        case tensor(TorchTensor)
        /// A tensor of a kind that is not read.
        case unsupported(String)
    }

    private(set) var tensors: [(name: TensorName, content: Content)] = []
    /// What is no tensor, with its kind in few words.
    private(set) var leaves: [(name: TensorName, kind: String)] = []
    /// How many tensors lie in each part of the object, where none lies beside the parts.
    private(set) var parts: [(name: TensorName, tensorCount: Int)] = []

    private static let maximumTensorCount = 1_000_000
    private static let maximumNameByteCount = 1 << 26
    /// Enough to tell of.
    private static let maximumLeafCount = 1000

    private let file: TorchFile
    private let tensorCounts: TensorCounts
    private let walksLists: Bool
    private var nameByteCount = 0
    /// More leaves than are kept.
    private(set) var leafCount = 0

    /// Finds the tensors.
    ///
    /// - Parameter root: the dotted name of the part to read; `.` stands for all of it, nil as well, but for lists.
    /// - Throws: `FormatError` `not_a_state_dict` when there are none or no such part, `duplicate_key` when two have one name,
    ///   `limit_exceeded` when there are too many.
    init(_ file: TorchFile, root: String?) throws(FormatError) {
        self.file = file
        tensorCounts = TensorCounts(file)
        walksLists = root != nil
        var top = file.root
        if let root, root != "." { top = try Self.part(root, of: file, tensorCounts) }
        guard let entries = Self.entries(of: top, in: file, withLists: walksLists) else {
            throw Self.fault(
                file,
                "the \(root == nil ? "file" : "part") holds \(Self.kind(of: file.arena[top])), not a dictionary of tensors",
                hint: tensorCounts[top] > 0 ? "save a dictionary: torch.save({'name': tensor}, FILE)" : nil)
        }
        guard entries.isEmpty || tensorCounts[top] > 0 else {
            throw Self.fault(file, "the \(root == nil ? "file" : "part") holds no tensor", hint: nil)
        }
        try walk(entries)
        if tensors.isEmpty, !entries.isEmpty {
            throw Self.fault(
                file, "the tensors of the file lie in lists", hint: "`--root .` reads them under their numbers")
        }
        var names: Set<TensorName> = []
        for (name, _) in tensors where !names.insert(name).inserted {
            throw FormatError(
                .duplicateKey, "two tensors of the file are named \"\(name)\"", file: file.source.file, tensor: name)
        }
        if root == nil { findParts(entries) }
    }

    private mutating func walk(_ top: [(key: String, value: PickleValue.ID)]) throws(FormatError) {
        var pending = [(prefix: String, id: PickleValue.ID)]()
        func push(_ entries: [(key: String, value: PickleValue.ID)], below prefix: String) {
            for entry in entries.reversed() { pending.append((prefix + entry.key, entry.value)) }
        }
        push(top, below: "")
        while let (text, id) = pending.popLast() {
            // Each step counts, so that many short names are bounded, too.
            nameByteCount += text.utf8.count + 16
            guard nameByteCount <= Self.maximumNameByteCount, pending.count <= 4 * Self.maximumTensorCount else {
                throw Self.limit(file, "names of over \(Self.maximumNameByteCount) bytes")
            }
            let name = TensorName(text)
            switch file.arena[id] {
            case .tensor(let tensor): try append(.tensor(tensor), name)
            case .unsupportedTensor(let kind): try append(.unsupported(kind), name)
            default:
                if tensorCounts[id] > 0, let entries = Self.entries(of: id, in: file, withLists: walksLists) {
                    push(entries, below: text + ".")
                } else {
                    appendLeaf(id, name)
                }
            }
        }
    }

    private mutating func append(_ content: Content, _ name: TensorName) throws(FormatError) {
        guard tensors.count < Self.maximumTensorCount else {
            throw Self.limit(file, "more than \(Self.maximumTensorCount) tensors")
        }
        tensors.append((name, content))
    }

    private mutating func appendLeaf(_ id: PickleValue.ID, _ name: TensorName) {
        leafCount += 1
        guard leaves.count < Self.maximumLeafCount else { return }
        let count = tensorCounts[id]
        let kind = Self.kind(of: file.arena[id])
        leaves.append((name, count > 0 ? "\(kind) with \(count) \(count == 1 ? "tensor" : "tensors")" : kind))
    }

    private mutating func findParts(_ entries: [(key: String, value: PickleValue.ID)]) {
        for (key, value) in entries where tensorCounts[value] > 0 {
            guard case .dict = file.arena[value] else {
                parts = []
                return
            }
            parts.append((TensorName(key), tensorCounts[value]))
        }
    }

    // MARK: - Values

    /// The keys and values of a container; nil for what is none.
    private static func entries(
        of id: PickleValue.ID, in file: TorchFile, withLists: Bool
    ) -> [(key: String, value: PickleValue.ID)]? {
        switch file.arena[id] {
        case .dict(let entries): entries.map { (name(of: $0.key, in: file), $0.value) }
        case .scriptObject(let attributes?): Self.entries(of: attributes, in: file, withLists: withLists)
        case .tuple(let items) where withLists, .list(let items) where withLists:
            items.enumerated().map { ("\($0.offset)", $0.element) }
        default: nil
        }
    }

    /// A key as a part of a name. Other keys than texts and numbers are rare, and what is below them has a name all the same.
    private static func name(of key: PickleValue.ID, in file: TorchFile) -> String {
        switch file.arena[key] {
        case .string(let range): file.source.text(range)
        case .int(let number): "\(number)"
        case .bool(let value): value ? "True" : "False"
        case .float(let number): "\(number)"
        case .none: "None"
        default: "(key \(key))"
        }
    }

    private static func kind(of value: PickleValue) -> String {
        switch value {
        case .none: "None"
        case .bool: "a truth value"
        case .int, .float: "a number"
        case .string: "a text"
        case .tuple: "a tuple"
        case .list: "a list"
        case .dict: "a dictionary"
        case .global: "a type"
        case .storage: "a storage"
        case .tensor, .unsupportedTensor: "a tensor"
        case .scriptObject: "a module"
        case .opaque(let kind): kind
        }
    }

    // MARK: - Parts

    /// Follows a dotted name from key to key; keys may hold dots themselves.
    private static func part(
        _ root: String, of file: TorchFile, _ tensorCounts: TensorCounts
    ) throws(FormatError) -> PickleValue.ID {
        var place = file.root
        var rest = root
        while true {
            let entries = entries(of: place, in: file, withLists: true) ?? []
            if let exact = entries.first(where: { $0.key.utf8.elementsEqual(rest.utf8) }) { return exact.value }
            let next = entries.filter { rest.utf8.starts(with: ($0.key + ".").utf8) }
                .max { $0.key.utf8.count < $1.key.utf8.count }
            guard let next else { break }
            rest = String(decoding: rest.utf8.dropFirst(next.key.utf8.count + 1), as: UTF8.self)
            place = next.value
        }
        let found = entries(of: place, in: file, withLists: true) ?? []
        let depth = root.utf8.count - rest.utf8.count
        let whole = String(decoding: root.utf8.prefix(depth), as: UTF8.self)
        let rows = found.prefix(100).map { entry in
            [
                (whole + entry.key).escapingControlCharacters, kind(of: file.arena[entry.value]),
                "\(tensorCounts[entry.value])",
            ]
        }
        let names = found.filter { tensorCounts[$0.value] > 0 }.prefix(8)
            .map { (whole + $0.key).escapingControlCharacters }
        throw FormatError(
            .notAStateDict, "the file holds nothing named \"\(root.escapingControlCharacters)\"",
            file: file.source.file,
            hint: names.isEmpty ? nil : "there is: \(names.joined(separator: ", "))",
            details: rows.isEmpty ? nil : DiagnosticTable(columns: ["root", "holds", "tensors"], rows: rows))
    }

    private static func fault(_ file: TorchFile, _ message: String, hint: String?) -> FormatError {
        FormatError(.notAStateDict, message, file: file.source.file, hint: hint)
    }

    private static func limit(_ file: TorchFile, _ what: String) -> FormatError {
        FormatError(.limitExceeded, "the file has \(what)", file: file.source.file)
    }
}

/// How many tensors lie in and below each value of a pickle, in so far as a number can say it.
private struct TensorCounts {
    private var counts: [Int]

    init(_ file: TorchFile) {
        counts = file.arena.values.map { value in
            switch value {
            case .tensor, .unsupportedTensor: 1
            default: 0
            }
        }
        for id in file.arena.containers(below: file.root) ?? [] {
            for child in file.arena.children(of: id) ?? [] {
                // Shared containers count each time; forty in each other would overflow.
                counts[id] = min(1 << 32, counts[id] + counts[child])
            }
        }
    }

    subscript(id: PickleValue.ID) -> Int { counts[id] }
}

extension StateDict {
    /// How to read one part of a file that holds several, such as a model beside the state of its optimiser.
    var partsWarning: Warning? {
        guard let first = parts.first else { return nil }
        let shown = 5
        let list = parts.prefix(shown).map { "\"\($0.name)\" (\($0.tensorCount))" }.joined(separator: ", ")
        let rest = parts.count > shown ? ", and \(parts.count - shown) more" : ""
        return Warning(
            FormatWarning.nestedTensors,
            "the tensors lie in \(parts.count == 1 ? "one part" : "\(parts.count) parts") of the file, and their names begin with its name: "
                + "\(list)\(rest); `--root \(first.name)` reads that part alone, under its own names")
    }
}
