import TensorCore

/// The tensors of a pickled object by dotted names, and what it holds besides them.
///
/// Dictionaries are walked, their keys being texts or numbers; below a root that was asked for, lists and tuples are, too. A
/// container without tensors is never entered, so that what is walked is bounded by the tensors that come of it, however often
/// the containers share their contents.
struct StateDict {
    enum Content {
        case tensor(TorchTensor)
        /// A tensor of a kind that is not read, and where the pickle makes it.
        case unsupported(String, byteOffset: Int)

        var byteOffset: Int {
            switch self {
            case .tensor(let tensor): tensor.byteOffset
            case .unsupported(_, let position): position
            }
        }
    }

    private(set) var tensors: [(name: TensorName, content: Content)] = []
    /// The first things that are no tensors, each with the start of its name and its kind in few words.
    private(set) var leaves: [(name: String, kind: String)] = []
    /// How many tensors lie in each part of the object, where none lies beside the parts.
    private(set) var parts: [(name: String, tensorCount: Int)] = []

    private static let maximumTensorCount = 1_000_000
    private static let maximumNameByteCount = 1 << 26
    /// Enough to tell of.
    private static let maximumLeafCount = 5

    private let file: TorchFile
    private let tensorCounts: TensorCounts
    private let walksLists: Bool
    private var nameByteCount = 0
    /// Of those that are kept and of the others.
    private(set) var leafCount = 0

    /// What a container holds, and how it is found there.
    private struct Member {
        enum Key {
            case value(PickleValue.ID)
            /// A place in a list.
            case place(Int)
        }

        let key: Key
        let value: PickleValue.ID
    }

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
        guard let members = Self.members(of: top, in: file, withLists: walksLists) else {
            throw Self.fault(
                file,
                "the \(root == nil ? "file" : "part") holds \(Self.kind(of: file.arena[top])), not a dictionary of tensors",
                hint: tensorCounts[top] > 0 ? "save a dictionary: torch.save({'name': tensor}, FILE)" : nil)
        }
        guard members.isEmpty || tensorCounts[top] > 0 else {
            throw Self.fault(file, "the \(root == nil ? "file" : "part") holds no tensor", hint: nil)
        }
        try walk(members)
        if tensors.isEmpty, !members.isEmpty {
            throw Self.fault(
                file, "the tensors of the file lie in lists", hint: "`--root .` reads them under their numbers")
        }
        var names: Set<TensorName> = []
        for (name, content) in tensors where !names.insert(name).inserted {
            throw FormatError(
                .duplicateKey, "two tensors of the file are named \"\(name)\"", file: file.source.file, tensor: name,
                byteOffset: file.source.start.map { $0 + content.byteOffset })
        }
        if root == nil { findParts(members) }
    }

    private mutating func walk(_ top: [Member]) throws(FormatError) {
        try count(16 * top.count)
        var path = [(prefix: "", members: top, next: 0)]
        while let (prefix, members, next) = path.last {
            guard next < members.count else {
                path.removeLast()
                continue
            }
            path[path.count - 1].next += 1
            let member = members[next]
            switch file.arena[member.value] {
            case .tensor(let tensor): try append(.tensor(tensor), name(of: member, below: prefix))
            case .unsupportedTensor(let kind, let position):
                try append(.unsupported(kind, byteOffset: position), name(of: member, below: prefix))
            default:
                if tensorCounts[member.value] > 0,
                    let inner = Self.members(of: member.value, in: file, withLists: walksLists)
                {
                    // Each step counts, so that many short names are bounded, too.
                    try count(16 * inner.count)
                    path.append((try name(of: member, below: prefix) + ".", inner, 0))
                } else {
                    appendLeaf(member, below: prefix)
                }
            }
        }
    }

    private mutating func count(_ byteCount: Int) throws(FormatError) {
        nameByteCount += byteCount
        guard nameByteCount <= Self.maximumNameByteCount else {
            throw Self.limit(file, "names of over \(Self.maximumNameByteCount) bytes")
        }
    }

    /// Counts a name before it is made: what is above it may be long, and above much else.
    private mutating func name(of member: Member, below prefix: String) throws(FormatError) -> String {
        try count(prefix.utf8.count + Self.keyByteCount(member.key, in: file))
        return prefix + Self.text(of: member.key, in: file)
    }

    private mutating func append(_ content: Content, _ name: String) throws(FormatError) {
        guard tensors.count < Self.maximumTensorCount else {
            throw Self.limit(file, "more than \(Self.maximumTensorCount) tensors")
        }
        tensors.append((TensorName(name), content))
    }

    private mutating func appendLeaf(_ member: Member, below prefix: String) {
        leafCount += 1
        guard leaves.count < Self.maximumLeafCount else { return }
        let tensorCount = tensorCounts[member.value]
        let kind = Self.kind(of: file.arena[member.value])
        leaves.append(
            (
                Self.label(of: member, below: prefix, in: file),
                tensorCount > 0 ? "\(kind) with \(tensorCount) \(tensorCount == 1 ? "tensor" : "tensors")" : kind
            ))
    }

    private mutating func findParts(_ members: [Member]) {
        for member in members where tensorCounts[member.value] > 0 {
            guard case .dict = file.arena[member.value] else {
                parts = []
                return
            }
            parts.append((Self.label(of: member, below: "", in: file), tensorCounts[member.value]))
        }
    }

    // MARK: - Values

    /// What a container holds; nil for what is none.
    private static func members(of id: PickleValue.ID, in file: TorchFile, withLists: Bool) -> [Member]? {
        switch file.arena[id] {
        case .dict(let entries): entries.map { Member(key: .value($0.key), value: $0.value) }
        case .scriptObject(let attributes?): members(of: attributes, in: file, withLists: withLists)
        case .tuple(let items) where withLists, .list(let items) where withLists:
            items.enumerated().map { Member(key: .place($0.offset), value: $0.element) }
        default: nil
        }
    }

    /// A key as a part of a name. Other keys than texts and numbers are rare, and what is below them has a name all the same.
    private static func text(of key: Member.Key, in file: TorchFile) -> String {
        switch key {
        case .place(let place): return "\(place)"
        case .value(let id):
            return switch file.arena[id] {
            case .string(let range): file.source.text(range)
            case .int(let number): "\(number)"
            case .bool(let value): value ? "True" : "False"
            case .float(let number): "\(number)"
            case .none: "None"
            default: "(key \(id))"
            }
        }
    }

    /// How many bytes the text of a key has at most.
    private static func keyByteCount(_ key: Member.Key, in file: TorchFile) -> Int {
        if case .value(let id) = key, case .string(let range) = file.arena[id] { return range.count }
        return 32
    }

    /// The name of what a container holds, or the start of a long one, fit to be shown.
    private static func label(of member: Member, below prefix: String, in file: TorchFile) -> String {
        let start = prefix.utf8.count <= 200 ? prefix : String(prefix.unicodeScalars.prefix(100)) + "..."
        guard case .value(let id) = member.key, case .string(let range) = file.arena[id] else {
            return start.escapingControlCharacters + text(of: member.key, in: file)
        }
        return start.escapingControlCharacters + file.source.label(range)
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
        var rest = Array(root.utf8)[...]
        /// Whether the rest of the name begins with a key.
        func begins(with key: Member.Key) -> Bool {
            if case .value(let id) = key, case .string(let range) = file.arena[id] {
                return rest.starts(with: file.source.bytes[range])
            }
            return rest.starts(with: text(of: key, in: file).utf8)
        }
        while true {
            let fitting = (members(of: place, in: file, withLists: true) ?? []).filter { begins(with: $0.key) }
            var next: (byteCount: Int, value: PickleValue.ID)?
            for member in fitting {
                let byteCount = text(of: member.key, in: file).utf8.count
                if byteCount == rest.count { return member.value }
                guard rest.dropFirst(byteCount).first == UInt8(ascii: "."), byteCount >= next?.byteCount ?? 0 else {
                    continue
                }
                next = (byteCount, member.value)
            }
            guard let next else { break }
            rest = rest.dropFirst(next.byteCount + 1)
            place = next.value
        }
        let found = members(of: place, in: file, withLists: true) ?? []
        let whole = String(decoding: root.utf8.dropLast(rest.count), as: UTF8.self)
        let rows = found.prefix(100).map { member in
            [
                label(of: member, below: whole, in: file), kind(of: file.arena[member.value]),
                "\(tensorCounts[member.value])",
            ]
        }
        let names = found.filter { tensorCounts[$0.value] > 0 }.prefix(8).map { label(of: $0, below: whole, in: file) }
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
