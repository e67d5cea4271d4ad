import TensorCore

/// What the calls of a PyTorch pickle come to.
extension Unpickler {
    /// The value of a call.
    ///
    /// - Throws: `FormatError` `unsafe_pickle` when what is called is no function of the allow-list.
    mutating func call(_ callee: PickleValue.ID, _ arguments: PickleValue.ID) throws(FormatError) -> PickleValue {
        guard case .global(let function) = arena[callee] else {
            throw fault(.unsafePickle, "the pickle calls something that is no function", hint: Self.advice)
        }
        guard case .tuple(let arguments) = arena[arguments] else { throw fault("a call has no tuple of arguments") }
        switch function {
        case .rebuildTensor, .rebuildTensorV2, .rebuildTensorV3: return try tensor(function, arguments)
        case .rebuildParameter: return try wrapped(arguments, count: 3...3)
        case .rebuildParameterWithState: return try wrapped(arguments, count: 4...4)
        case .rebuildFromType: return try tensorOfType(arguments)
        case .orderedDict: return try dictionary(arguments)
        case .counter:
            guard let first = arguments.first else { return .dict([]) }
            guard arguments.count == 1, case .dict = arena[first] else {
                throw fault("a Counter is made of no dictionary")
            }
            return try copy(of: first)
        case .set: return .opaque("a set")
        case .size:
            guard arguments.count == 1, case .tuple = arena[arguments[0]] else {
                throw fault("a torch.Size is made of no tuple")
            }
            return try copy(of: arguments[0])
        case .data(let kind): return .opaque(kind)
        case .unsupportedTensor(let kind):
            try spend(8)
            return .unsupportedTensor(kind, byteOffset: start)
        case .scriptList:
            guard arguments.count == 1 else { throw fault("a list of TorchScript has \(arguments.count) arguments") }
            return try copy(of: arguments[0])
        case .scriptTag:
            guard let first = arguments.first else { throw fault("a type tag of TorchScript has nothing to tag") }
            return try copy(of: first)
        case .storage, .quantisedStorage, .untypedStorage, .dtype, .unsupportedDtype, .tensor, .parameter, .scriptClass:
            throw fault(
                .unsafePickle, "the pickle calls a class of PyTorch that no checkpoint calls", hint: Self.advice)
        }
    }

    /// A value of its own with the same contents.
    ///
    /// - Throws: `FormatError` `limit_exceeded`: a few bytes of a pickle can ask for a copy of all that it built so far.
    private mutating func copy(of id: PickleValue.ID) throws(FormatError) -> PickleValue {
        try spend(arena.childCount(of: id))
        return arena[id]
    }

    /// A new object of a class.
    mutating func makeObject(
        of callee: PickleValue.ID, _ arguments: PickleValue.ID
    ) throws(FormatError) -> PickleValue {
        guard case .global(let type) = arena[callee], case .tuple(let arguments) = arena[arguments] else {
            throw fault(.unsafePickle, "the pickle makes an object of something that is no class", hint: Self.advice)
        }
        switch type {
        case .parameter: return try wrapped(arguments, count: 1...2)
        case .scriptClass: return .scriptObject(attributes: nil)
        default:
            throw fault(
                .unsafePickle, "the pickle makes an object of a class that no checkpoint has", hint: Self.advice)
        }
    }

    /// Sets the attributes of an object. A state dictionary has the versions of its modules there, which nothing here needs.
    mutating func build(_ object: PickleValue.ID, _ state: PickleValue.ID) throws(FormatError) {
        switch arena[object] {
        case .scriptObject:
            arena.modify(object) { $0 = .scriptObject(attributes: state) }
        case .dict:
            guard case .dict(let entries) = arena[state] else {
                throw fault("the attributes of a dictionary are no dictionary")
            }
            // The same attributes may be set again and again.
            try spend(entries.count)
            for entry in entries {
                guard case .string(let name) = arena[entry.key] else {
                    throw fault("an attribute of a dictionary is named by something that is no text")
                }
                guard source.bytes[name].starts(with: "__".utf8) else { continue }
                throw fault(
                    .unsafePickle, "the pickle sets the attribute \(source.label(name)) of a dictionary",
                    hint: Self.advice)
            }
        default:
            throw fault(
                .unsafePickle, "the pickle sets attributes of something that is no state dictionary",
                hint: Self.advice)
        }
    }

    // MARK: - Storages

    /// Reads `("storage", class, key, location, count)`, in legacy files with the part of the storage that is meant: nil or
    /// `(key, start, count)`.
    mutating func storage(_ identifier: PickleValue.ID) throws(FormatError) -> TorchStorage {
        try spend(4)
        guard case .tuple(let items) = arena[identifier], (5...6).contains(items.count),
            case .string(let kind) = arena[items[0]], source.bytes[kind].elementsEqual("storage".utf8)
        else { throw fault(.badStorage, "a persistent identifier of the pickle names no storage") }
        let dtype: DType?
        var isQuantised = false
        switch arena[items[1]] {
        case .global(.storage(let type)): dtype = type
        case .global(.quantisedStorage(let type)): (dtype, isQuantised) = (type, true)
        case .global(.untypedStorage): dtype = nil
        default: throw fault(.badStorage, "a storage is of no class of storages")
        }
        guard case .string(let text) = arena[items[2]] else {
            throw fault(.badStorage, "the key of a storage is no text")
        }
        guard let key = TorchStorage.key(source.bytes[text]) else {
            throw fault(.badStorage, "the key of a storage is \"\(source.label(text))\", which is no decimal number")
        }
        guard case .int(let count) = arena[items[4]], count >= 0 else {
            throw fault(.badStorage, "storage \(key) has no valid count of elements")
        }
        return TorchStorage(
            dtype: dtype, isQuantised: isQuantised, key: key, count: count,
            part: items.count == 6 ? try part(items[5]) : nil, byteOffset: start)
    }

    private func part(_ id: PickleValue.ID) throws(FormatError) -> TorchStorage.Part? {
        switch arena[id] {
        case .none: return nil
        case .tuple(let items):
            guard items.count == 3, case .int(let start) = arena[items[1]], case .int(let count) = arena[items[2]],
                start >= 0, count >= 0
            else { break }
            return TorchStorage.Part(start: start, count: count)
        default: break
        }
        throw fault(.badStorage, "the part of a storage is not described by a key and two numbers")
    }

    // MARK: - Tensors

    /// `_rebuild_tensor(storage, offset, size, stride)`; `_v2` adds requires_grad, hooks and metadata, `_v3` a type after the
    /// hooks.
    private mutating func tensor(
        _ function: TorchGlobal, _ arguments: [PickleValue.ID]
    ) throws(FormatError) -> PickleValue {
        let counts = function == .rebuildTensor ? 4...4 : function == .rebuildTensorV2 ? 6...7 : 7...8
        guard counts.contains(arguments.count) else {
            throw fault("a tensor is made of \(arguments.count) arguments instead of \(counts.lowerBound)")
        }
        guard case .storage(let storage) = arena[arguments[0]] else {
            throw fault(.badStorage, "a tensor is made of something that is no storage")
        }
        guard case .int(let offset) = arena[arguments[1]] else {
            throw fault(.outOfBoundsView, "the offset of a tensor is no number")
        }
        guard let shape = integers(arguments[2]) else {
            throw fault(.badShape, "the shape of a tensor is no tuple of up to 64 numbers")
        }
        guard let strides = integers(arguments[3]) else {
            throw fault(.outOfBoundsView, "the strides of a tensor are no tuple of up to 64 numbers")
        }
        var dtype: TorchTensor.TypeClaim?
        if function == .rebuildTensorV3 {
            switch arena[arguments[6]] {
            case .global(.dtype(let type)): dtype = .known(type)
            case .global(.unsupportedDtype(let name)): dtype = .unsupported(name)
            default: throw fault("the type of a tensor is no type")
            }
        }
        try spend(8 + shape.count + strides.count)
        let metadata = function == .rebuildTensorV2 ? 6 : 7
        return .tensor(
            TorchTensor(
                storage: storage, dtype: dtype, offset: offset, shape: shape, strides: strides,
                bits: arguments.count > metadata ? try bits(arguments[metadata]) : [], byteOffset: start))
    }

    /// The bits that the metadata of a tensor name: PyTorch sets those that are there, whatever their values. What else is there is
    /// about devices.
    private mutating func bits(_ metadata: PickleValue.ID) throws(FormatError) -> TorchTensor.Bits {
        switch arena[metadata] {
        case .none: return []
        case .dict(let entries):
            try spend(entries.count)
            return entries.reduce(into: []) { bits, entry in
                guard case .string(let name) = arena[entry.key] else { return }
                if source.bytes[name].elementsEqual("conj".utf8) { bits.insert(.conjugated) }
                if source.bytes[name].elementsEqual("neg".utf8) { bits.insert(.negated) }
            }
        default: throw fault("the metadata of a tensor is no dictionary")
        }
    }

    private func integers(_ id: PickleValue.ID) -> [Int]? {
        let items: [PickleValue.ID]
        switch arena[id] {
        case .tuple(let values), .list(let values): items = values
        default: return nil
        }
        // PyTorch has no tensors of more dimensions.
        guard items.count <= 64 else { return nil }
        var numbers: [Int] = []
        for item in items {
            guard case .int(let number) = arena[item] else { return nil }
            numbers.append(number)
        }
        return numbers
    }

    /// The tensor that a parameter is.
    private func wrapped(_ arguments: [PickleValue.ID], count: ClosedRange<Int>) throws(FormatError) -> PickleValue {
        guard count.contains(arguments.count) else {
            throw fault("a parameter is made of \(arguments.count) arguments instead of \(count.lowerBound)")
        }
        switch arena[arguments[0]] {
        case .tensor, .unsupportedTensor: return arena[arguments[0]]
        default: throw fault("a parameter is made of something that is no tensor")
        }
    }

    /// `_rebuild_from_type_v2(function, type, arguments, state)`: a tensor with attributes of its own, which nothing here needs.
    private mutating func tensorOfType(_ arguments: [PickleValue.ID]) throws(FormatError) -> PickleValue {
        guard arguments.count == 4, case .global(let function) = arena[arguments[0]],
            case .global(let type) = arena[arguments[1]], type == .tensor || type == .parameter
        else { throw fault(.unsafePickle, "the pickle makes a tensor of a class of its own", hint: Self.advice) }
        switch function {
        case .rebuildTensor, .rebuildTensorV2, .rebuildTensorV3, .rebuildParameter, .rebuildParameterWithState,
            .unsupportedTensor:
            return try call(arguments[0], arguments[2])
        default:
            throw fault(.unsafePickle, "the pickle makes a tensor by a function that makes none", hint: Self.advice)
        }
    }

    /// `OrderedDict()`, or of a list of pairs.
    private mutating func dictionary(_ arguments: [PickleValue.ID]) throws(FormatError) -> PickleValue {
        guard let first = arguments.first else { return .dict([]) }
        guard arguments.count == 1, case .list(let pairs) = arena[first] else {
            throw fault("an OrderedDict is made of no list of pairs")
        }
        try spend(2 * pairs.count)
        var entries: [PickleValue.Entry] = []
        for pair in pairs {
            let items: [PickleValue.ID]
            switch arena[pair] {
            case .tuple(let values), .list(let values): items = values
            default: items = []
            }
            guard items.count == 2, arena[items[0]].isHashable else {
                throw fault("an OrderedDict is made of no pairs")
            }
            entries.append(PickleValue.Entry(key: items[0], value: items[1]))
        }
        return .dict(entries)
    }
}
