import TensorCore

/// A name that a PyTorch checkpoint may mention, and what it stands for here. No name is ever looked up in a program.
enum TorchGlobal: Hashable {
    /// Functions that make a tensor of a storage.
    case rebuildTensor, rebuildTensorV2, rebuildTensorV3
    /// Functions that wrap one.
    case rebuildParameter, rebuildParameterWithState, rebuildFromType
    /// Functions and classes that make collections.
    case orderedDict, counter, set, size
    /// Functions and classes whose results are of no interest here.
    case data(String)
    /// Functions that make tensors of other kinds.
    case unsupportedTensor(String)
    /// Classes of storages; those of quantised tensors hold whole numbers that mean nothing by themselves.
    case storage(DType), quantisedStorage(DType), untypedStorage
    case dtype(DType), unsupportedDtype(String)
    /// Classes of tensors.
    case tensor, parameter
    /// A class that a TorchScript archive defines.
    case scriptClass
    /// Functions of TorchScript that say of what type a list is.
    case scriptList, scriptTag

    /// Finds a name; nil when it is none of the list. Both parts must match as a whole: from protocol 4 on a name may hold dots,
    /// which Python follows into the attributes of what it names.
    ///
    /// - Parameter script: whether the pickle is that of a TorchScript archive.
    init?(module: String, name: String, inScript script: Bool) {
        if let known = Self.table[Name(module: module, name: name)] {
            self = known
        } else if script, module == "__torch__" || module.hasPrefix("__torch__.") {
            self = .scriptClass
        } else if script, module == "torch.jit._pickle" {
            switch name {
            case "build_intlist", "build_tensorlist", "build_doublelist", "build_boollist": self = .scriptList
            case "restore_type_tag": self = .scriptTag
            default: return nil
            }
        } else {
            return nil
        }
    }

    private struct Name: Hashable {
        let module, name: String
    }

    private static let table: [Name: TorchGlobal] = {
        var table: [Name: TorchGlobal] = [:]
        func add(_ module: String, _ names: [String: TorchGlobal]) {
            for (name, value) in names { table[Name(module: module, name: name)] = value }
        }
        add(
            "torch._utils",
            [
                "_rebuild_tensor": .rebuildTensor, "_rebuild_tensor_v2": .rebuildTensorV2,
                "_rebuild_tensor_v3": .rebuildTensorV3, "_rebuild_parameter": .rebuildParameter,
                "_rebuild_parameter_with_state": .rebuildParameterWithState,
                "_rebuild_qtensor": .unsupportedTensor("quantised"),
                "_rebuild_sparse_tensor": .unsupportedTensor("sparse"),
                "_rebuild_sparse_csr_tensor": .unsupportedTensor("sparse"),
                "_rebuild_nested_tensor": .unsupportedTensor("nested"),
                "_rebuild_meta_tensor_no_storage": .unsupportedTensor("meta"),
                "_rebuild_wrapper_subclass": .unsupportedTensor("wrapper subclass"),
                "_rebuild_device_tensor_from_numpy": .unsupportedTensor("device"),
                "_rebuild_device_tensor_from_cpu_tensor": .unsupportedTensor("device"),
            ])
        add("torch._tensor", ["_rebuild_from_type_v2": .rebuildFromType])
        add("torch.nn.parameter", ["Parameter": .parameter])
        add("torch.serialization", ["_get_layout": .data("a layout")])
        add("torch.storage", ["UntypedStorage": .untypedStorage, "TypedStorage": .data("a storage")])
        add("collections", ["OrderedDict": .orderedDict, "Counter": .counter])
        add("_codecs", ["encode": .data("bytes")])
        // Protocol 2 writes the Python 2 name of the module.
        for module in ["builtins", "__builtin__"] {
            add(module, ["set": .set, "bytearray": .data("bytes"), "complex": .data("a number")])
        }
        add("torch", ["Tensor": .tensor, "Size": .size, "device": .data("a device")])
        for scheme in [
            "per_tensor_affine", "per_tensor_symmetric", "per_channel_affine", "per_channel_symmetric",
            "per_channel_affine_float_qparams",
        ] {
            add("torch", [scheme: .data("a quantisation scheme")])
        }
        for (name, dtype) in TorchDType.storages { add("torch", [name: .storage(dtype)]) }
        for (name, dtype) in TorchDType.quantisedStorages { add("torch", [name: .quantisedStorage(dtype)]) }
        for (name, dtype) in TorchDType.names { add("torch", [name: .dtype(dtype)]) }
        for name in TorchDType.unsupported { add("torch", [name: .unsupportedDtype(name)]) }
        return table
    }()
}

/// The element types of PyTorch by their names.
enum TorchDType {
    /// By the class of a storage, as all versions write the types that there were before 2.1.
    static let storages: [String: DType] = [
        "FloatStorage": .f32, "DoubleStorage": .f64, "HalfStorage": .f16, "BFloat16Storage": .bf16,
        "LongStorage": .i64, "IntStorage": .i32, "ShortStorage": .i16, "CharStorage": .i8, "ByteStorage": .u8,
        "BoolStorage": .bool, "ComplexFloatStorage": .c64, "ComplexDoubleStorage": .c128,
    ]

    static let quantisedStorages: [String: DType] = [
        "QInt8Storage": .i8, "QUInt8Storage": .u8, "QInt32Storage": .i32, "QUInt4x2Storage": .u8,
        "QUInt2x4Storage": .u8,
    ]

    static let names = Dictionary(
        uniqueKeysWithValues: DType.allCases.compactMap { dtype in dtype.torchName.map { ($0, dtype) } })

    /// Types that no checkpoint format has.
    static let unsupported: [String] =
        (1...7).flatMap { ["int\($0)", "uint\($0)"] } + [
            "complex32", "bcomplex32", "qint8", "quint8", "qint32", "quint4x2", "quint2x4", "bits8", "bits16",
            "bits1x8", "bits2x4", "bits4x2",
        ]

    /// The bytes of what PyTorch counts as one element: two numbers of four bits are one.
    static func width(of dtype: DType) -> Int { max(1, dtype.bitWidth / 8) }
}
