import SystemPackage
import TensorCore

/// A rule of a file format that an input breaks.
public struct FormatError: Diagnostic, Hashable {
    public let category: FormatCategory
    public let message: String
    public let file: String?
    public let tensor: String?
    public let byteOffset: UInt64?
    public let hint: String?
    /// Whether what was found may be sound and is no tensor: other tensors can be read without it.
    package let isForeign: Bool
    public let details: DiagnosticTable?

    public var code: String { "format.\(category.rawValue)" }
    public var severity: DiagnosticSeverity { .badInput }

    public init(
        _ category: FormatCategory, _ message: String, file: FilePath? = nil, tensor: TensorName? = nil,
        byteOffset: Int? = nil, hint: String? = nil, isForeign: Bool = false,
        details: DiagnosticTable? = nil
    ) {
        self.category = category
        self.message = message
        self.file = file?.string
        self.tensor = tensor?.description
        self.byteOffset = byteOffset.flatMap(UInt64.init(exactly:))
        self.hint = hint
        self.isForeign = isForeign
        self.details = details
    }
}

/// The kinds of fault that readers tell apart; the raw value follows `format.` in an error code.
public enum FormatCategory: String, Sendable, CaseIterable {
    // Any format.
    case truncated
    case trailingBytes = "trailing_bytes"
    case badMagic = "bad_magic"
    case unsupportedVersion = "unsupported_version"
    case overflow
    case invalidUTF8 = "invalid_utf8"
    case duplicateKey = "duplicate_key"
    case headerTooLarge = "header_too_large"
    case badShape = "bad_shape"
    case sizeMismatch = "size_mismatch"
    case unsupportedDtype = "unsupported_dtype"
    case unknownFormat = "unknown_format"
    case limitExceeded = "limit_exceeded"
    // safetensors.
    case invalidJSON = "invalid_json"
    case nestingTooDeep = "nesting_too_deep"
    case badMetadata = "bad_metadata"
    case missingField = "missing_field"
    case badTensorInfo = "bad_tensor_info"
    case unknownDtype = "unknown_dtype"
    case badOffsets = "bad_offsets"
    case misalignedSubbyte = "misaligned_subbyte"
    case hole
    case overlap
    // Sharded safetensors.
    case badIndex = "bad_index"
    case missingShard = "missing_shard"
    case indexMismatch = "index_mismatch"
    case pathTraversal = "path_traversal"
    // npy.
    case headerGrammar = "header_grammar"
    case badDescr = "bad_descr"
    case tensorCount = "tensor_count"
    case objectDtype = "object_dtype"
    case structuredDtype = "structured_dtype"
    // npz.
    case zipStructure = "zip_structure"
    case encrypted
    case unsupportedCompression = "unsupported_compression"
    case badName = "bad_name"
    case badMember = "bad_member"
    case duplicateMember = "duplicate_member"
    case headerMismatch = "header_mismatch"
    case overlappingMembers = "overlapping_members"
    case badDeflate = "bad_deflate"
    case badCRC = "bad_crc"
    case zipBomb = "zip_bomb"
    // PyTorch.
    case badPickle = "bad_pickle"
    case unsafePickle = "unsafe_pickle"
    case unsupportedObject = "unsupported_object"
    case unsupportedArchive = "unsupported_archive"
    case badByteorder = "bad_byteorder"
    case badStorage = "bad_storage"
    case outOfBoundsView = "out_of_bounds_view"
    case notAStateDict = "not_a_state_dict"
    // Skein.
    case badChecksum = "bad_checksum"
    case badChunk = "bad_chunk"
    case missingBase = "missing_base"
    case wrongBase = "wrong_base"
    // GGUF.
    case badKVType = "bad_kv_type"
    case badValue = "bad_value"
    case badAlignment = "bad_alignment"
    // Adapters.
    case badConfig = "bad_config"
    case configMismatch = "config_mismatch"
    case missingTensor = "missing_tensor"

    /// Whether the fault lies in the stored data rather than in what describes it: `verify` answers 1 for these.
    public var isDamage: Bool {
        switch self {
        case .badCRC, .badDeflate, .badChecksum, .badChunk: true
        default: false
        }
    }
}
