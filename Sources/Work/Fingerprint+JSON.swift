import Checkpoints
import Reporting

extension Fingerprint {
    /// As notes have it: `kind`, `parts` as an object of texts, and before them the digest, for people.
    package var json: JSONOutput {
        [
            "fingerprint": .string(digest),
            "kind": .string(kind),
            "parts": .object(parts.map { .init($0.name, .string($0.value)) }),
        ]
    }

    /// Reads it out of a note; nil when it is not there.
    package init?(json: JSONValue) {
        guard let kind = json["kind"]?.string, let members = json["parts"]?.object else { return nil }
        var parts: [Part] = []
        for member in members {
            guard let value = member.value.string else { return nil }
            parts.append(Part(member.key, value))
        }
        self.init(kind: kind, parts: parts)
    }
}
