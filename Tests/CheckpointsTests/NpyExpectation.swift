import Checkpoints
import Testing

/// What `CASE.expected.json` of the conformance files says.
struct NpyExpectation {
    let level: String
    let category: String?
    let tensors: [NpyTensorSummary]

    init(_ document: JSONValue) throws {
        level = document["level"]?.string ?? "must"
        category = document["category"]?.string
        tensors =
            try document["tensors"]?.array?.map { tensor in
                NpyTensorSummary(
                    name: try #require(tensor["name"]?.string), dtype: try #require(tensor["dtype"]?.string),
                    shape: try #require(tensor["shape"]?.array).map { try #require($0.int) },
                    sha256: try #require(tensor["sha256"]?.string))
            } ?? []
    }
}
