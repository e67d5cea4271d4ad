import Glibc
import Merging
import TensorCore

/// What one place of a recipe says about parameters, by name.
public typealias ParameterScope = [String: ParameterSetting]

/// What a recipe says about a parameter at one place: one value, a gradient over layers, or a list of cases by tensor name.
public enum ParameterSetting: Sendable, Hashable {
    case value(ParameterValue)
    /// Values from the first layer of a slice to its last, at equal distances; at least one.
    case gradient([ParameterValue])
    /// The first that applies to a tensor counts.
    case cases([Case])

    /// What is said about some of the tensors.
    public struct Case: Sendable, Hashable, Encodable {
        /// A part of the names that it applies to; nil applies to all.
        public var filter: String?
        /// A value or a gradient.
        public var setting: ParameterSetting

        func applies(to name: TensorName) -> Bool {
            guard let filter, filter != "*" else { return true }
            return name.text.containsBytes(of: filter)
        }
    }

    /// The value for a tensor, nil when nothing is said about it.
    ///
    /// - Parameter depth: how far its layer lies in the slice: 0 the first, 1 the last.
    func value(for name: TensorName, depth: Double) -> ParameterValue? {
        switch self {
        case .value(let value): return value
        case .cases(let cases): return cases.first { $0.applies(to: name) }?.setting.value(for: name, depth: depth)
        case .gradient(let values):
            // The arithmetic of mergekit 0.1.5, operation by operation.
            let place = depth * Double(values.count - 1)
            let lower = Int(place)
            let upper = min(lower + 1, values.count - 1)
            guard case .number(let a) = values[lower], case .number(let b) = values[upper] else { return values[lower] }
            let share = place - Double(lower)
            return .number((1 - share) * a + share * b)
        }
    }

    /// The value, if it is the same for every tensor.
    package var constant: ParameterValue? {
        switch self {
        case .value(let value): value
        case .gradient(let values): values.count == 1 ? values[0] : nil
        case .cases(let cases): cases.first.flatMap { $0.filter == nil || $0.filter == "*" ? $0.setting.constant : nil }
        }
    }

    /// What is said, on one line.
    package var summary: String {
        switch self {
        case .value(let value): value.description
        case .gradient(let values): "[" + values.map(\.description).joined(separator: ", ") + "]"
        case .cases(let cases):
            cases.map { ($0.filter.map { "\($0): " } ?? "") + $0.setting.summary }.joined(separator: ", ")
        }
    }

    /// The filters that are part of no name.
    package func unmatchedFilters(among names: [TensorName]) -> [String] {
        guard case .cases(let cases) = self else { return [] }
        return cases.filter { !names.contains(where: $0.applies) }.compactMap(\.filter)
    }

    /// Whether something is said about every tensor.
    var saysSomethingAboutAll: Bool {
        guard case .cases(let cases) = self else { return true }
        return cases.contains { $0.filter == nil || $0.filter == "*" }
    }
}

extension String {
    /// Whether the bytes of a text are among the bytes of this one.
    fileprivate func containsBytes(of part: String) -> Bool {
        var (whole, part) = (self, part)
        return whole.withUTF8 { all in
            part.withUTF8 { wanted in
                guard let start = all.baseAddress, let wantedStart = wanted.baseAddress, wanted.count <= all.count
                else { return wanted.isEmpty }
                // Safety: every place leaves room for the whole part.
                return (0...(all.count - wanted.count)).contains { memcmp(start + $0, wantedStart, wanted.count) == 0 }
            }
        }
    }
}

extension ParameterSetting: Encodable {
    private enum CodingKeys: CodingKey {
        case gradient, cases
    }

    /// Encodes a value as what it is.
    ///
    /// - Throws: what the encoder throws.
    public func encode(to encoder: any Encoder) throws {
        switch self {
        case .value(let value): try value.encode(to: encoder)
        case .gradient(let values):
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(values, forKey: .gradient)
        case .cases(let cases):
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(cases, forKey: .cases)
        }
    }
}
