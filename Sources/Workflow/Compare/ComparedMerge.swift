import Checkpoints
import Interference
import Recipes
import Reporting
import SystemPackage
import TensorCore
import Work

/// One of several merges that are compared: what it is and how it does.
public struct ComparedMerge: Sendable {
    /// What sets it apart from the others, in a few words.
    public let name: String
    public let method: String
    /// Those of the whole merge, by name.
    public let parameters: [(name: String, value: String)]
    /// Whether adapted experts were merged.
    public let isResolved: Bool
    public let figures: Figures

    /// What was measured, and what it took.
    public struct Figures: Sendable {
        public let tasks: [Task]
        /// The interference on auxiliary inputs, which needs no data of the tasks; nil without auxiliary inputs.
        public let auxiliaryInterference: Double?
        /// Merging and measuring.
        public let seconds: Double
        /// The most memory of the process while it merged and measured; nil where the system does not tell.
        public let peakByteCount: Int?
    }

    /// How the merge does on one task.
    public struct Task: Sendable {
        public let name: String
        public let outcomes: SampleOutcomes

        /// The share of hits; nil without labels.
        public var accuracy: Double? {
            outcomes.hits.map { hits in Double(hits.count { $0 }) / Double(hits.count) }
        }
    }

    /// The mean over the tasks; nil where one has no labels.
    public var meanAccuracy: Double? {
        let accuracies = figures.tasks.compactMap(\.accuracy)
        guard !accuracies.isEmpty, accuracies.count == figures.tasks.count else { return nil }
        return accuracies.reduce(0, +) / Double(accuracies.count)
    }

    /// The figure that merges are sorted by; nil where it is not known.
    func figure(for order: CompareOrder) -> Double? {
        switch order {
        case .accuracy: meanAccuracy
        case .interference: interference
        }
    }

    /// The interval of that figure, as a run that merges the same tells it: tasks in their order.
    func interval(for order: CompareOrder, _ bootstrap: Bootstrap) -> ClosedRange<Double>? {
        switch order {
        case .accuracy:
            wilsonInterval(
                ofMean: figures.tasks.map { ($0.accuracy ?? .nan, $0.outcomes.hits?.count ?? 0) })
        case .interference:
            bootstrap.interval(of: figures.tasks.map(\.outcomes.distances), .distances, isMean: false)
        }
    }

    /// The sum over the tasks.
    public var interference: Double { figures.tasks.reduce(0) { $0 + $1.outcomes.interference } }

    /// Whether both were measured on the same tasks, in whatever order.
    func hasTasks(of other: ComparedMerge) -> Bool {
        func sizes(_ merge: ComparedMerge) -> [String: Int] {
            Dictionary(merge.figures.tasks.map { ($0.name, $0.outcomes.distances.count) }, uniquingKeysWith: { $1 })
        }
        return sizes(self) == sizes(other)
    }

    /// For every task, in the order of their names, the values of its inputs whose means a figure is made of.
    func values(for order: CompareOrder) -> [[Double]] {
        figures.tasks.sorted { $0.name < $1.name }.map { task in
            switch order {
            case .accuracy: (task.outcomes.hits ?? []).map { $0 ? 1 : 0 }
            case .interference: task.outcomes.distances
            }
        }
    }
}

/// What compared merges are sorted by.
public enum CompareOrder: String, Sendable, CaseIterable {
    /// The highest mean accuracy first.
    case accuracy
    /// The lowest total interference first.
    case interference
}

/// The figures of a finished merge in a file, so that they need not be made again.
enum FinishedFigures {
    /// Does not wait for the disk: what a machine loses is measured again.
    static func write(_ figures: ComparedMerge.Figures, to path: FilePath) throws {
        let document: JSONOutput = [
            "tasks": .array(
                figures.tasks.map { task in
                    let hits = task.outcomes.hits.map { hits in
                        JSONOutput.string(
                            String(decoding: hits.map { $0 ? UInt8(ascii: "1") : UInt8(ascii: "0") }, as: UTF8.self))
                    }
                    return [
                        "name": .string(task.name), "hits": hits ?? .null,
                        "distances": .array(task.outcomes.distances.map(JSONOutput.number)),
                    ]
                }),
            "auxiliary_interference": figures.auxiliaryInterference.map(JSONOutput.number) ?? .null,
            "seconds": .number(figures.seconds),
            "peak_bytes": figures.peakByteCount.map(JSONOutput.integer) ?? .null,
        ]
        try AtomicOutput.write(
            Array((document.rendered() + "\n").utf8), to: path, options: WriteOptions(force: true, sync: false))
    }

    /// Nil when there is no file, or none that can be read.
    static func read(_ path: FilePath) -> ComparedMerge.Figures? {
        guard let document = JSONDocument.read(path), let tasks = document["tasks"]?.array,
            let seconds = document["seconds"]?.double
        else { return nil }
        var read: [ComparedMerge.Task] = []
        for task in tasks {
            guard let name = task["name"]?.string, let distances = task["distances"]?.array?.map(number) else {
                return nil
            }
            let hits = task["hits"]?.string.map { $0.utf8.map { $0 == UInt8(ascii: "1") } }
            read.append(
                ComparedMerge.Task(name: name, outcomes: SampleOutcomes(distances: Array(distances), hits: hits)))
        }
        return ComparedMerge.Figures(
            tasks: read,
            auxiliaryInterference: document["auxiliary_interference"].flatMap { $0.isNull ? nil : number($0) },
            seconds: seconds, peakByteCount: document["peak_bytes"]?.int)
    }

    /// Numbers that are none have names in JSON.
    private static func number(_ value: JSONValue) -> Double {
        value.double ?? value.string.flatMap(Double.init) ?? .nan
    }
}
