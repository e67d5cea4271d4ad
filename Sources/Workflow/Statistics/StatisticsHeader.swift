import Checkpoints
import ModelFolders
import SystemPackage
import TensorCore
import Work

// The metadata of a file of statistics:
//
//     untangle     "gram statistics 2" or "fisher statistics 2"
//     model        the SHA-256 of the model's files
//     data.SHA     which inputs of the data with this SHA-256 were measured, and of how many: 16:32 of 64
//     inputs       how many inputs were measured
//     rows.NAME    of Gram matrices, how many rows of inputs the mean of the tensor NAME is over: tokens without padding

/// What is measured of a model.
public enum StatisticsKind: String, Sendable, CaseIterable {
    /// What `regmean` and `esm` read.
    case gram
    /// What `fisher` reads.
    case fisher

    /// What people call so many tensors of them.
    public func noun(_ count: Int) -> String {
        switch self {
        case .gram: count == 1 ? "Gram matrix" : "Gram matrices"
        case .fisher: count == 1 ? "tensor of squared gradients" : "tensors of squared gradients"
        }
    }
}

/// What a file of statistics says of itself.
struct StatisticsHeader {
    let kind: StatisticsKind
    let model: String
    /// Of each set of data the inputs.
    let inputs: [MeasuredInputs]
    let inputCount: Int
    /// The rows that means are over; of squared gradients there are as many as inputs.
    let rowCounts: [TensorName: Int]

    private static func version(of kind: StatisticsKind) -> String { "\(kind.rawValue) statistics 2" }
    private static let rowsPrefix = "rows."
    private static let dataPrefix = "data."
    /// Where a file says which model was measured.
    static let modelKey = "model"

    /// The digest of a model's files.
    ///
    /// - Throws: `IOError` when one cannot be read.
    static func digest(of model: TensorStore) throws -> String {
        let files = try model.reader.files.map {
            Fingerprint.Part("file", try FileDigests.digest(of: $0).hexadecimal)
        }
        return Fingerprint(kind: "model", parts: files).digest
    }

    func rowCount(of tensor: TensorName) -> Int { rowCounts[tensor] ?? inputCount }

    var metadata: Metadata {
        var metadata = Metadata()
        metadata["untangle"] = Self.version(of: kind)
        metadata[Self.modelKey] = model
        for inputs in inputs { metadata["\(Self.dataPrefix)\(inputs.data)"] = inputs.text }
        metadata["inputs"] = String(inputCount)
        for (name, count) in rowCounts.sorted(by: { $0.key < $1.key }) {
            metadata["\(Self.rowsPrefix)\(name.text)"] = String(count)
        }
        return metadata
    }

    init(
        kind: StatisticsKind, model: String, inputs: [MeasuredInputs], inputCount: Int, rowCounts: [TensorName: Int]
    ) {
        self.kind = kind
        self.model = model
        self.inputs = inputs
        self.inputCount = inputCount
        self.rowCounts = rowCounts
    }

    /// Reads the metadata of a file.
    ///
    /// - Throws: `input.bad_value` when it is none of statistics, or a count is none.
    init(of store: TensorStore) throws(InputError) {
        let metadata = store.metadata
        func broken(_ problem: String) -> InputError {
            InputError(
                .badValue, "\(store.path.string) \(problem)", file: store.path,
                hint: "join files that untangle stats has written")
        }
        guard let kind = StatisticsKind.allCases.first(where: { metadata["untangle"] == Self.version(of: $0) }),
            let model = metadata[Self.modelKey]
        else { throw broken("has no statistics of a model") }
        func count(_ key: String) throws(InputError) -> Int {
            // Far from any number of tokens that somebody could measure, so that sums of them do not overflow.
            guard let count = metadata[key].flatMap({ Int($0) }), (1...1 << 53).contains(count) else {
                throw broken("has \"\(metadata[key] ?? "nothing")\" for a number of \(key)")
            }
            return count
        }
        self.kind = kind
        self.model = model
        var inputs: [MeasuredInputs] = []
        for entry in metadata.entries where entry.key.hasPrefix(Self.dataPrefix) {
            let data = String(entry.key.dropFirst(Self.dataPrefix.count))
            guard let measured = MeasuredInputs(data: data, text: entry.value) else {
                throw broken("has \"\(entry.value.escapingControlCharacters)\" for the inputs that were measured")
            }
            inputs.append(measured)
        }
        guard !inputs.isEmpty else { throw broken("does not say which inputs were measured") }
        self.inputs = inputs
        inputCount = try count("inputs")
        var rowCounts: [TensorName: Int] = [:]
        if kind == .gram {
            for tensor in store.descriptors { rowCounts[tensor.name] = try count(Self.rowsPrefix + tensor.name.text) }
        }
        self.rowCounts = rowCounts
    }
}
