import Checkpoints
import SystemPackage

/// Everything that determines what a piece of work produces, by name: settings as texts, inputs as digests of their contents.
///
/// Two pieces of work with one fingerprint give the same bytes, written to one place with the same options. Where inputs lie and what
/// they are called counts only where the output says it, as a model card does.
public struct Fingerprint: Sendable, Hashable {
    /// What is done, and the version of how.
    public let kind: String
    public let parts: [Part]

    /// A setting, or an input.
    public struct Part: Sendable, Hashable {
        public let name: String
        public let value: String

        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    public init(kind: String, parts: [Part]) {
        self.kind = kind
        self.parts = parts
    }

    /// Takes settings apart and reads inputs, as far as their digests are not known.
    ///
    /// - Throws: `IOError` when an input cannot be read.
    public init(_ kind: String, settings: some Encodable, inputs: [JobInput]) throws {
        var parts = try SettingsEncoder.parts(of: settings)
        for input in inputs {
            let digests = try input.files.map { try FileDigests.digest(of: $0).hexadecimal }
            parts.append(Part("input \(input.role)", input.listing ?? digests.joined(separator: " ")))
        }
        self.init(kind: kind, parts: parts)
    }

    /// The SHA-256 of all parts, as 64 hexadecimal digits.
    public var digest: String {
        let accumulator = TensorDigest.Accumulator()
        for text in [kind] + parts.flatMap({ [$0.name, $0.value] }) {
            withUnsafeBytes(of: UInt64(text.utf8.count).littleEndian) { accumulator.update($0) }
            var text = text
            text.withUTF8 { accumulator.update(UnsafeRawBufferPointer($0)) }
        }
        return accumulator.finish().hexadecimal
    }

    /// A part that two fingerprints do not have in common.
    public struct Difference: Sendable, Hashable {
        public let name: String
        /// Nil where the part is missing.
        public let before, now: String?

        /// The name of the one difference between the same parts in another order: those at the first place that differs.
        static let order = "order"
    }

    /// What has changed since an earlier fingerprint, in the order of the parts; that order itself when it is all that has. Nothing
    /// for equal fingerprints only.
    public func differences(since earlier: Fingerprint) -> [Difference] {
        guard kind == earlier.kind else { return [Difference(name: "kind", before: earlier.kind, now: kind)] }
        let before = Dictionary(earlier.parts.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
        let now = Dictionary(parts.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
        let differences =
            parts.filter { before[$0.name] != $0.value }.map {
                Difference(name: $0.name, before: before[$0.name], now: $0.value)
            }
            + earlier.parts.filter { now[$0.name] == nil }.map {
                Difference(name: $0.name, before: $0.value, now: nil)
            }
        guard differences.isEmpty, let moved = zip(earlier.parts, parts).first(where: { $0.0 != $0.1 }) else {
            return differences
        }
        return [Difference(name: Difference.order, before: moved.0.name, now: moved.1.name)]
    }
}

extension Fingerprint.Difference: CustomStringConvertible {
    private static var inputPrefix: String { "input " }

    /// What people call a part.
    private static func told(_ name: String) -> Substring {
        name.dropFirst(name.hasPrefix(inputPrefix) ? inputPrefix.count : 0)
    }

    /// `steps was 500 and is 250`; of inputs only that their contents differ, of the order what has moved.
    public var description: String {
        if name == Self.order, let before, let now {
            return "the order is another: \(Self.told(now)) stands where \(Self.told(before)) stood"
        }
        if name.hasPrefix(Self.inputPrefix) {
            return before == nil || now == nil
                ? "\(Self.told(name)) \(before == nil ? "is new" : "is gone")" : "\(Self.told(name)) has other contents"
        }
        return "\(name) was \(before ?? "not given") and is \(now ?? "not given")"
    }
}
