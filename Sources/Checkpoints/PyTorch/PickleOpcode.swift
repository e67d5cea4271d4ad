/// The operations of a pickle that build data, as Python's pickletools names them.
///
/// What is not listed is refused: the text operations of protocols 0 and 1, which no version of PyTorch writes, buffers that lie
/// outside of the file, and everything in `forbidden`.
enum PickleOpcode: UInt8 {
    case proto = 0x80, frame = 0x95, stop = 0x2E
    case mark = 0x28, pop = 0x30, popMark = 0x31, duplicate = 0x32
    case none = 0x4E, newTrue = 0x88, newFalse = 0x89
    case binInt = 0x4A, binInt1 = 0x4B, binInt2 = 0x4D, long1 = 0x8A, long4 = 0x8B, binFloat = 0x47
    case shortBinUnicode = 0x8C, binUnicode = 0x58, binUnicode8 = 0x8D
    case shortBinString = 0x55, binString = 0x54, shortBinBytes = 0x43, binBytes = 0x42
    case emptyTuple = 0x29, tuple = 0x74, tuple1 = 0x85, tuple2 = 0x86, tuple3 = 0x87
    case emptyList = 0x5D, list = 0x6C, append = 0x61, appends = 0x65
    case emptyDict = 0x7D, dict = 0x64, setItem = 0x73, setItems = 0x75
    case emptySet = 0x8F, addItems = 0x90
    case binPut = 0x71, longBinPut = 0x72, binGet = 0x68, longBinGet = 0x6A, memoize = 0x94
    case global = 0x63, stackGlobal = 0x93
    case reduce = 0x52, build = 0x62, newObject = 0x81, binPersistentID = 0x51

    /// Operations that make objects of classes by other ways than `GLOBAL`.
    static let forbidden: [UInt8: String] = [
        0x69: "INST", 0x6F: "OBJ", 0x82: "EXT1", 0x83: "EXT2", 0x84: "EXT4", 0x92: "NEWOBJ_EX", 0x50: "PERSID",
    ]
}
