/// Takes an encodable value apart into names and texts: `resolve.steps` and `500`, `weights.0` and `0.5`.
///
/// The names are the coding keys, so they and the order of the parts change only with the declaration of the type. Numbers are the
/// shortest decimals that read back as the same value; what is nil is left out.
struct SettingsEncoder: Encoder {
    private final class Parts {
        var list: [Fingerprint.Part] = []
    }

    private let parts: Parts
    let codingPath: [any CodingKey]
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    private init(_ parts: Parts, _ path: [any CodingKey]) {
        self.parts = parts
        codingPath = path
    }

    /// The parts of a value.
    static func parts(of value: some Encodable) throws -> [Fingerprint.Part] {
        let parts = Parts()
        try value.encode(to: SettingsEncoder(parts, []))
        return parts.list
    }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        KeyedEncodingContainer(Keyed(encoder: self))
    }
    func unkeyedContainer() -> any UnkeyedEncodingContainer { Unkeyed(encoder: self) }
    func singleValueContainer() -> any SingleValueEncodingContainer { Single(encoder: self) }

    private func encoder(for key: any CodingKey) -> SettingsEncoder { SettingsEncoder(parts, codingPath + [key]) }

    private func add(_ text: String) {
        parts.list.append(Fingerprint.Part(codingPath.map(\.stringValue).joined(separator: "."), text))
    }

    /// Scalars are texts of their own; everything else takes itself apart.
    private func encode(_ value: some Encodable) throws {
        switch value {
        case let text as String: add(text)
        case let flag as Bool: add(flag ? "true" : "false")
        case let number as Double: add("\(number)")
        case let number as Float: add("\(number)")
        case let number as any BinaryInteger: add("\(number)")
        default: try value.encode(to: self)
        }
    }

    private struct Keyed<Key: CodingKey>: KeyedEncodingContainerProtocol {
        let encoder: SettingsEncoder
        var codingPath: [any CodingKey] { encoder.codingPath }

        func encodeNil(forKey key: Key) {}
        func encode(_ value: some Encodable, forKey key: Key) throws { try encoder.encoder(for: key).encode(value) }
        func nestedContainer<Nested: CodingKey>(
            keyedBy type: Nested.Type, forKey key: Key
        ) -> KeyedEncodingContainer<Nested> { encoder.encoder(for: key).container(keyedBy: type) }
        func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
            encoder.encoder(for: key).unkeyedContainer()
        }
        func superEncoder() -> any Encoder { encoder }
        func superEncoder(forKey key: Key) -> any Encoder { encoder.encoder(for: key) }
    }

    /// A place in a list.
    private struct Place: CodingKey {
        let number: Int
        var stringValue: String { "\(number)" }
        var intValue: Int? { number }
        init(_ number: Int) { self.number = number }
        init?(stringValue: String) { nil }
        init?(intValue: Int) { number = intValue }
    }

    private struct Unkeyed: UnkeyedEncodingContainer {
        let encoder: SettingsEncoder
        var codingPath: [any CodingKey] { encoder.codingPath }
        var count = 0

        init(encoder: SettingsEncoder) { self.encoder = encoder }

        private mutating func next() -> SettingsEncoder {
            defer { count += 1 }
            return encoder.encoder(for: Place(count))
        }
        mutating func encodeNil() { count += 1 }
        mutating func encode(_ value: some Encodable) throws { try next().encode(value) }
        mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
            next().container(keyedBy: type)
        }
        mutating func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { next().unkeyedContainer() }
        mutating func superEncoder() -> any Encoder { next() }
    }

    private struct Single: SingleValueEncodingContainer {
        let encoder: SettingsEncoder
        var codingPath: [any CodingKey] { encoder.codingPath }

        func encodeNil() {}
        func encode(_ value: some Encodable) throws { try encoder.encode(value) }
    }
}
