import TensorCore

// A pickle is a program for a machine with a stack of values, marks on it, and a numbered memo:
//
//     operation[1] operand[fixed, counted, or up to a line feed] ... STOP
//
// Source: CPython's pickletools.py, protocols 2 to 5.

/// Carries out a pickle on data alone: it knows no classes and calls nothing. What would call something is one of the few functions
/// with which PyTorch rebuilds tensors, and gives a description of a tensor; or it is refused where it is named.
///
/// Nothing here recurses, every count is compared with the bytes there are before it is believed, and all that is done is counted
/// against one budget.
struct Unpickler {
    let source: PickleSource
    var arena = PickleArena()
    private var budget: PickleBudget
    /// The operation at hand, for errors.
    private(set) var start = 0
    private var position = 0
    private var stack: [PickleValue.ID] = []
    /// The heights of the stack where marks are.
    private var marks: [Int] = []
    private var memo: [Int: PickleValue.ID] = [:]

    private static let maximumProtocol = 5

    private init(_ source: PickleSource, budget: PickleBudget) {
        self.source = source
        self.budget = budget
    }

    /// Carries out the pickle at the start of some bytes.
    ///
    /// - Parameter budget: what is left of it to all pickles of the file.
    /// - Returns: all values, the one that it is about, and where its bytes end.
    /// - Throws: `FormatError` `bad_pickle`, `unsafe_pickle`, `nesting_too_deep`, `limit_exceeded`, and what is wrong with the
    ///   arguments of a tensor.
    static func load(
        _ source: PickleSource, budget: inout PickleBudget
    ) throws(FormatError) -> (arena: PickleArena, root: PickleValue.ID, end: Int) {
        var machine = Unpickler(source, budget: budget)
        while true {
            machine.start = machine.position
            try machine.spend(1)
            let code = try machine.byte()
            guard let opcode = PickleOpcode(rawValue: code) else { throw machine.refusal(of: code) }
            if opcode == .stop { break }
            try machine.execute(opcode)
        }
        guard machine.marks.isEmpty, machine.stack.count == 1 else {
            throw machine.fault("the pickle ends with \(machine.stack.count) values on its stack, not with one")
        }
        let root = machine.stack[0]
        if machine.arena.containers(below: root) == nil {
            throw machine.fault(
                .nestingTooDeep,
                "the pickle holds a container in itself, or more than \(PickleArena.maximumDepth) in each other")
        }
        budget = machine.budget
        return (machine.arena, root, machine.position)
    }

    /// Takes steps of the budget.
    ///
    /// - Throws: `FormatError` `limit_exceeded` when there are none left.
    mutating func spend(_ count: Int) throws(FormatError) {
        guard budget.spend(count) else {
            throw fault(
                .limitExceeded, "the pickle takes more than \(PickleBudget.maximumStepCount) steps to carry out")
        }
    }

    // MARK: - Operations

    private mutating func execute(_ opcode: PickleOpcode) throws(FormatError) {
        switch opcode {
        case .proto:
            let version = Int(try byte())
            guard version <= Self.maximumProtocol else {
                throw fault("the pickle has protocol \(version); protocols up to \(Self.maximumProtocol) are known")
            }
        case .frame: _ = try count(8)
        case .stop: break
        case .mark: marks.append(stack.count)
        case .pop: if stack.count == floor, !marks.isEmpty { marks.removeLast() } else { _ = try pop() }
        case .popMark: _ = try popToMark()
        case .duplicate: stack.append(try top())
        case .none: try push(.none)
        case .newTrue: try push(.bool(true))
        case .newFalse: try push(.bool(false))
        case .binInt: try push(.int(Int(Int32(truncatingIfNeeded: try number(4)))))
        case .binInt1: try push(.int(Int(try number(1))))
        case .binInt2: try push(.int(Int(try number(2))))
        case .long1: try push(try long(counted: 1))
        case .long4: try push(try long(counted: 4))
        case .binFloat: try push(.float(Double(bitPattern: try number(8).byteSwapped)))
        case .shortBinUnicode, .shortBinString: try push(.string(try text(counted: 1)))
        case .binUnicode, .binString: try push(.string(try text(counted: 4)))
        case .binUnicode8: try push(.string(try text(counted: 8)))
        case .shortBinBytes: try pushBytes(counted: 1)
        case .binBytes: try pushBytes(counted: 4)
        case .emptyTuple: try push(.tuple([]))
        case .tuple: try push(.tuple(try popToMark()))
        case .tuple1: try pushTuple(of: 1)
        case .tuple2: try pushTuple(of: 2)
        case .tuple3: try pushTuple(of: 3)
        case .emptyList: try push(.list([]))
        case .list: try push(.list(try popToMark()))
        case .append: try append([try pop()])
        case .appends: try append(try popToMark())
        case .emptyDict: try push(.dict([]))
        case .dict: try push(.dict(try entries(try popToMark())))
        case .setItem:
            let value = try pop()
            try set([try pop(), value])
        case .setItems: try set(try popToMark())
        case .emptySet: try push(.opaque("a set"))
        case .addItems:
            _ = try popToMark()
            guard case .opaque = arena[try top()] else { throw fault("ADDITEMS adds to what is no set") }
        case .binPut: try store(Int(try number(1)))
        case .longBinPut: try store(Int(try number(4)))
        case .memoize: try store(memo.count)
        case .binGet: try recall(Int(try number(1)))
        case .longBinGet: try recall(Int(try number(4)))
        case .global:
            let module = try line()
            try pushGlobal(module: module, name: try line())
        case .stackGlobal:
            guard case .string(let name) = arena[try pop()], case .string(let module) = arena[try pop()] else {
                throw fault(.unsafePickle, "the pickle names a class or function by something that is no text")
            }
            try pushGlobal(module: try text(module), name: try text(name))
        case .reduce:
            let arguments = try pop()
            try push(try call(try pop(), arguments))
        case .newObject:
            let arguments = try pop()
            try push(try makeObject(of: try pop(), arguments))
        case .build:
            let state = try pop()
            try build(try top(), state)
        case .binPersistentID: try push(.storage(try storage(try pop())))
        }
    }

    private func refusal(of code: UInt8) -> FormatError {
        if let name = PickleOpcode.forbidden[code] {
            return fault(
                .unsafePickle, "the pickle makes an object by the operation \(name), which no PyTorch checkpoint needs",
                hint: Self.advice)
        }
        return fault("the byte 0x\(String(code, radix: 16, uppercase: true)) is no operation that a PyTorch pickle has")
    }

    /// What to do about a file that holds more than data.
    static let advice =
        "only load it in Python if you trust who made it: unpickling runs what a file names; ask for safetensors"

    private mutating func pushGlobal(module: String, name: String) throws(FormatError) {
        guard let global = TorchGlobal(module: module, name: name, inScript: source.isScript) else {
            let parts = [module, name].map {
                String($0.unicodeScalars.prefix(100)) + ($0.utf8.count > 100 ? "..." : "")
            }
            let shown = parts.joined(separator: ".").escapingControlCharacters
            throw fault(
                .unsafePickle, "the pickle names \(shown), which is no part of a state dictionary; nothing was run",
                hint: Self.advice)
        }
        try push(.global(global))
    }

    // MARK: - The stack

    /// The height below which the values belong to what was begun before the last mark.
    private var floor: Int { marks.last ?? 0 }

    private mutating func push(_ value: PickleValue) throws(FormatError) {
        try spend(1)
        stack.append(arena.insert(value))
    }

    private mutating func pop() throws(FormatError) -> PickleValue.ID {
        guard stack.count > floor, let id = stack.popLast() else {
            throw fault("the pickle takes a value off an empty stack")
        }
        return id
    }

    private func top() throws(FormatError) -> PickleValue.ID {
        guard stack.count > floor, let id = stack.last else { throw fault("the pickle uses a value of an empty stack") }
        return id
    }

    private mutating func popToMark() throws(FormatError) -> [PickleValue.ID] {
        guard let mark = marks.popLast() else { throw fault("the pickle goes back to a mark that it has not set") }
        // What becomes a child is counted here, however it was pushed.
        try spend(stack.count - mark)
        let values = Array(stack[mark...])
        stack.removeSubrange(mark...)
        return values
    }

    private mutating func pushTuple(of count: Int) throws(FormatError) {
        guard stack.count - floor >= count else { throw fault("the pickle takes values off an empty stack") }
        let values = Array(stack.suffix(count))
        stack.removeLast(count)
        try push(.tuple(values))
    }

    private mutating func store(_ number: Int) throws(FormatError) {
        // An entry takes the memory and the time of several values.
        try spend(4)
        memo[number] = try top()
    }

    private mutating func recall(_ number: Int) throws(FormatError) {
        guard let id = memo[number] else { throw fault("the pickle recalls value \(number), which it has not stored") }
        stack.append(id)
    }

    // MARK: - Containers

    private mutating func append(_ items: [PickleValue.ID]) throws(FormatError) {
        let isList = arena.modify(try top()) { value in
            guard case .list(var list) = value else { return false }
            value = .none
            list += items
            value = .list(list)
            return true
        }
        guard isList else { throw fault("the pickle appends to what is no list") }
    }

    private mutating func set(_ items: [PickleValue.ID]) throws(FormatError) {
        let new = try entries(items)
        let isDict = arena.modify(try top()) { value in
            guard case .dict(var entries) = value else { return false }
            value = .none
            entries += new
            value = .dict(entries)
            return true
        }
        guard isDict else { throw fault("the pickle sets an item of what is no dictionary") }
    }

    /// Pairs keys with values.
    private func entries(_ items: [PickleValue.ID]) throws(FormatError) -> [PickleValue.Entry] {
        guard items.count.isMultiple(of: 2) else { throw fault("the pickle sets a key without a value") }
        var entries: [PickleValue.Entry] = []
        entries.reserveCapacity(items.count / 2)
        for place in stride(from: 0, to: items.count, by: 2) {
            guard arena[items[place]].isHashable else { throw fault("the pickle has a list or dictionary as a key") }
            entries.append(PickleValue.Entry(key: items[place], value: items[place + 1]))
        }
        return entries
    }

    // MARK: - Operands

    private mutating func take(_ count: Int) throws(FormatError) -> Range<Int> {
        guard count <= source.bytes.count - position else {
            throw fault(
                "the pickle ends at byte \(source.bytes.count), inside of what begins at byte \(start)")
        }
        defer { position += count }
        return position..<position + count
    }

    private mutating func byte() throws(FormatError) -> UInt8 { source.bytes[try take(1).lowerBound] }

    /// A little-endian number.
    private mutating func number(_ byteCount: Int) throws(FormatError) -> UInt64 {
        try take(byteCount).reversed().reduce(0) { $0 << 8 | UInt64(source.bytes[$1]) }
    }

    /// A number of bytes that there are.
    private mutating func count(_ byteCount: Int) throws(FormatError) -> Int {
        let claimed = try number(byteCount)
        guard let count = Int(exactly: claimed), count <= source.bytes.count - position else {
            throw fault(
                "the pickle claims \(claimed) bytes from byte \(position) on, where \(source.bytes.count - position) are left"
            )
        }
        return count
    }

    /// A number in two's complement. One beyond 64 bits, such as the state of a random generator, is no size of anything.
    private mutating func long(counted countByteCount: Int) throws(FormatError) -> PickleValue {
        let byteCount = try count(countByteCount)
        guard byteCount <= 8 else {
            _ = try take(byteCount)
            return .opaque("a number")
        }
        guard byteCount > 0 else { return .int(0) }
        let unused = 64 - 8 * byteCount
        return .int(Int((Int64(bitPattern: try number(byteCount)) << unused) >> unused))
    }

    private mutating func text(counted byteCount: Int) throws(FormatError) -> Range<Int> {
        let range = try take(try count(byteCount))
        guard
            source.bytes[range].allSatisfy({ $0 < 0x80 })
                || String(validating: source.bytes[range], as: UTF8.self) != nil
        else { throw fault("a text of the pickle is not valid UTF-8") }
        return range
    }

    private mutating func pushBytes(counted byteCount: Int) throws(FormatError) {
        _ = try take(try count(byteCount))
        try push(.opaque("bytes"))
    }

    /// The text of a range, which may be asked for any number of times.
    private mutating func text(_ range: Range<Int>) throws(FormatError) -> String {
        try spend(range.count / 16)
        return source.text(range)
    }

    /// Text up to a line feed.
    private mutating func line() throws(FormatError) -> String {
        guard let end = source.bytes[position...].firstIndex(of: 0x0A) else {
            throw fault("the pickle ends inside of a name")
        }
        defer { position = end + 1 }
        guard let text = String(validating: source.bytes[position..<end], as: UTF8.self) else {
            throw fault("a name in the pickle is not valid UTF-8")
        }
        return text
    }

    func fault(_ message: String) -> FormatError { fault(.badPickle, message) }

    func fault(_ category: FormatCategory, _ message: String, hint: String? = nil) -> FormatError {
        source.fault(category, message, at: start, hint: hint)
    }
}
