import Checkpoints
import SystemPackage
import TensorCore

/// A folder of `Fixtures/suites`, read into flat arrays.
public struct SuiteFixture: Sendable {
    public let folder: FilePath
    /// The tasks of `config.json`, in its order.
    public let tasks: [String]

    public init(_ name: String) throws {
        folder = Fixtures.path("suites/\(name)")
        tasks = try Self.json(folder.appending("config.json"))["tasks"]?.array?.compactMap(\.string) ?? []
    }

    public func json(_ file: String) throws -> JSONValue { try Self.json(folder.appending(file)) }

    /// An integer of `config.json`.
    public func setting(_ key: String) throws -> Int {
        guard let value = try json("config.json")[key]?.int else { throw MissingFixture(name: key) }
        return value
    }

    /// Tensors of a checkpoint, one after the other in the order of `names`.
    public func floats(_ file: String, _ names: [TensorName]) throws -> [Float] {
        let store = try TensorStore(opening: folder.appending(file))
        return try names.flatMap { name in
            guard let bytes = try store.bytes(of: name) else { throw MissingFixture(name: name.text) }
            return bytes.withUnsafeBytes { raw in
                (0..<raw.count / 4).map { raw.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
            }
        }
    }

    /// Images of a data file as the suites' network sees them: `(x / 255 - 0.5) / 0.5`.
    public func images(_ file: String) throws -> (values: [Float], count: Int) {
        let store = try TensorStore(opening: folder.appending(file))
        guard let bytes = try store.bytes(of: "images"), let count = store.descriptor(named: "images")?.shape.dims.first
        else { throw MissingFixture(name: file) }
        return (bytes.withUnsafeBytes { $0.map { (Float($0) / 255 - 0.5) / 0.5 } }, count)
    }

    public func labels(_ file: String) throws -> [Int] {
        let store = try TensorStore(opening: folder.appending(file))
        guard let bytes = try store.bytes(of: "labels"), store.descriptor(named: "labels")?.dtype == .i64 else {
            throw MissingFixture(name: file)
        }
        return bytes.withUnsafeBytes { raw in
            (0..<raw.count / 8).map { Int(raw.loadUnaligned(fromByteOffset: 8 * $0, as: Int64.self)) }
        }
    }

    private static func json(_ path: FilePath) throws -> JSONValue {
        let file = try MappedFile(path)
        return try JSONDocument.parse(file.bytes, file: path)
    }
}

/// A fixture lacks what a test needs.
public struct MissingFixture: Error {
    public let name: String

    public init(name: String) { self.name = name }
}
