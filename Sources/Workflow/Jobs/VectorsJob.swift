import Analysis
import Checkpoints
import ModelFolders
import Reporting
import SystemPackage
import TensorCore
import Work

/// Measures task vectors, and writes them where that is asked for.
public struct VectorsJob: Job, Sendable {
    private let settings: Settings
    /// Where each expert's task vector goes; empty to write none.
    private let targets: [OutputTarget]
    private let set: TaskVectorSet

    /// What is measured.
    public struct Settings: Sendable {
        public var level: TaskVectorStatistics.Level
        /// The share of entries that count as the largest.
        public var topShare: Double
        /// How many singular values count for the energy; nil decomposes nothing.
        public var energyRank: Int?

        public init(level: TaskVectorStatistics.Level, topShare: Double, energyRank: Int?) {
            self.level = level
            self.topShare = topShare
            self.energyRank = energyRank
        }
    }

    /// What was measured.
    public struct Outcome: Sendable {
        public let statistics: TaskVectorStatistics
        public let spectra: [TaskVectorSpectra]
        public let notMeasured: [UnmeasuredTensors]
    }

    /// Chooses what is measured and where task vectors go.
    ///
    /// - Parameter folder: gets a file for every expert; nil writes none.
    /// - Throws: `analysis.memory` when the memory is too small for the set.
    public init(
        _ set: TaskVectorSet, settings: Settings, folder: FilePath? = nil, write: WriteOptions, in context: Context
    ) throws {
        var set = set
        if let memory = context.memory { try set.setMemory(memory) }
        self.set = set
        self.settings = settings
        targets =
            try folder.map { folder in
                try ModelNames.fileNames(set.names).map { name in
                    try OutputTarget(
                        OutputPlace(folder.appending("\(name).safetensors"), isFolder: false), options: write)
                }
            } ?? []
    }

    /// Measures, and writes task vectors where they are asked for.
    ///
    /// - Throws: `analysis.*`; what readers and writers throw.
    public func run(in context: Context) throws -> Outcome {
        let progress = context.progress
        set.notMeasured.map(\.warning).forEach(context.warn)
        defer { progress.end() }
        let statistics = try TaskVectorStatistics(
            set, level: settings.level, topShare: settings.topShare, budget: context.budget,
            reading: { progress.begin("comparing", total: $0, unit: .bytes) }, progress: { progress.advance(by: $0) })
        var spectra: [TaskVectorSpectra] = []
        if let rank = settings.energyRank {
            progress.begin("decomposing", total: set.matrices.count, unit: .items("matrices"))
            spectra = try set.spectra(
                energyRank: rank, budget: context.budget, memory: context.memory ?? .max
            ) { [progress] _ in progress.advance(by: 1) }
        }
        progress.end()
        statistics.notFinite.warnings.forEach(context.warn)
        statistics.overflowWarnings.forEach(context.warn)
        if !targets.isEmpty {
            progress.begin("writing", total: 4 * set.parameterCount * targets.count, unit: .bytes)
        }
        for (place, target) in targets.enumerated() {
            let writer = try target.open(declaring: try set.outputs())
            try set.write(expert: place, into: writer, budget: context.budget) { progress.advance(by: $0) }
            _ = try writer.finish()
        }
        return Outcome(statistics: statistics, spectra: spectra, notMeasured: set.notMeasured)
    }
}

extension TaskVectorStatistics {
    /// A line about each expert with task vectors that F32 cannot hold.
    fileprivate var overflowWarnings: [Warning] {
        experts.compactMap { expert in
            let overflows = beyondF32.filter { $0.expert == expert }
            guard let first = overflows.first else { return nil }
            let count = overflows.reduce(0) { $0 + $1.count }
            return Warning(
                AnalysisWarning.beyondF32,
                "\(count) \(count == 1 ? "entry" : "entries") of the task vector of \(expert.escapingControlCharacters), "
                    + "such as in tensor \"\(first.tensor)\", exceed F32: there is no spectrum of them, as largest entries they "
                    + "are all alike, and --save writes infinity")
        }
    }
}

extension UnmeasuredTensors {
    /// One line about them.
    fileprivate var warning: Warning {
        let (count, verb) = names.count == 1 ? ("1 tensor", "was") : ("\(names.count.grouped) tensors", "were")
        return Warning(
            AnalysisWarning.notMeasured,
            "\(count) (\((share * 100).short(3)) % of the bytes) \(verb) not measured: \(reason)")
    }
}
