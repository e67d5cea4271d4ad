/// How many of a set of numbers are none.
public struct NonFiniteCount: Sendable, Hashable {
    public var nan = 0
    /// Infinities of either sign.
    public var infinite = 0

    public init() {}

    public init(nan: Int, infinite: Int) {
        self.nan = nan
        self.infinite = infinite
    }

    public var isZero: Bool { nan == 0 && infinite == 0 }

    public static func += (a: inout NonFiniteCount, b: NonFiniteCount) {
        a.nan += b.nan
        a.infinite += b.infinite
    }

    /// Such as `1 NaN and 2 infinities`.
    public var text: String {
        var parts: [String] = []
        if nan > 0 { parts.append("\(nan) NaN") }
        if infinite > 0 { parts.append("\(infinite) \(infinite == 1 ? "infinity" : "infinities")") }
        return parts.isEmpty ? "no NaN and no infinity" : parts.joined(separator: " and ")
    }
}

/// A tensor of a model in which numbers are NaN or infinite, so that nothing that depends on it can be trusted.
public struct NonFiniteTensor: Sendable, Hashable {
    /// What people call the model.
    public let model: String
    /// Where the tensor is stored.
    public let file: String
    public let tensor: TensorName
    public let count: NonFiniteCount

    public init(model: String, file: String, tensor: TensorName, count: NonFiniteCount) {
        self.model = model
        self.file = file
        self.tensor = tensor
        self.count = count
    }

    /// Such as `tensor "w" of x (models/x.safetensors) holds 1 NaN`.
    public var text: String {
        "tensor \"\(tensor)\" of \(model.escapingControlCharacters) (\(file.escapingControlCharacters)) holds \(count.text)"
    }
}

extension Sequence<NonFiniteTensor> {
    /// A line about each of the first ten, and how many more there are.
    public var warnings: [Warning] {
        let all = Array(self)
        let rest = all.count - Self.shownCount
        let lines = all.prefix(Self.shownCount).map { Warning(NumberWarning.notFinite, $0.text) }
        return rest <= 0
            ? lines
            : lines + [
                Warning(
                    NumberWarning.notFinite,
                    "\(rest) more \(rest == 1 ? "tensor holds" : "tensors hold") NaN or infinities")
            ]
    }

    private static var shownCount: Int { 10 }
}
