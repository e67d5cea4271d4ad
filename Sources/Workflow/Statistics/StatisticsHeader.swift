import Checkpoints
import ModelFolders
import SystemPackage
import TensorCore
import Work

// The metadata of a file of statistics:
//
//     untangle     "gram statistics 1" or "fisher statistics 1"
//     model        the SHA-256 of the model's files
//     data         the SHA-256 of the inputs that were measured, or that a part was taken from
//     inputs       how many inputs were measured
//     part         such as 2/4, where they are a share of all
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
    /// Nil where several parts were joined.
    let part: MergePart?
    let model: String
    /// Tells the inputs, of which `part` may be a share.
    let data: String
    let inputCount: Int
    /// The rows that means are over; of squared gradients there are as many as inputs.
    let rowCounts: [TensorName: Int]

    private static func version(of kind: StatisticsKind) -> String { "\(kind.rawValue) statistics 1" }
    private static let rowsPrefix = "rows."

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
        metadata["model"] = model
        metadata["data"] = data
        metadata["inputs"] = String(inputCount)
        metadata["part"] = part?.description
        for (name, count) in rowCounts.sorted(by: { $0.key < $1.key }) {
            metadata["\(Self.rowsPrefix)\(name.text)"] = String(count)
        }
        return metadata
    }

    init(
        kind: StatisticsKind, part: MergePart?, model: String, data: String, inputCount: Int,
        rowCounts: [TensorName: Int]
    ) {
        self.kind = kind
        self.part = part
        self.model = model
        self.data = data
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
            let model = metadata["model"], let data = metadata["data"]
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
        self.data = data
        part = metadata["part"].flatMap { MergePart($0) }
        inputCount = try count("inputs")
        var rowCounts: [TensorName: Int] = [:]
        if kind == .gram {
            for tensor in store.descriptors { rowCounts[tensor.name] = try count(Self.rowsPrefix + tensor.name.text) }
        }
        self.rowCounts = rowCounts
    }
}
