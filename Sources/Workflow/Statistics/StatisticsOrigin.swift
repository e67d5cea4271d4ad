import Checkpoints
import Merging
import SystemPackage
import TensorCore
import Work

extension MergeJob {
    /// What is odd about where the experts' statistics come from, as far as these say it: another expert than the one that they are given
    /// for, or a part of the inputs.
    ///
    /// Statistics of other programs say nothing of models, and slices of a recipe may have several files for one expert: both are passed
    /// over. The files of experts are read for their digests, unless these are known.
    ///
    /// - Throws: `IOError` when a file cannot be read.
    func statisticsWarnings(in context: Context) throws -> [Warning] {
        let experts = models.models.dropFirst(models.hasBase ? 1 : 0)
        guard parameterInputs.count == experts.count else { return [] }
        let measured = parameterInputs.map { input -> (file: FilePath, header: StatisticsHeader)? in
            guard input.files.count == 1, let store = try? TensorStore(opening: input.files[0]) else { return nil }
            return (try? StatisticsHeader(of: store)).map { (input.files[0], $0) }
        }
        guard measured.contains(where: { $0 != nil }) else { return [] }
        _ = try FileDigests.digests(of: experts.flatMap(\.original.reader.files), in: context)
        let digests = try experts.map { try StatisticsHeader.digest(of: $0.original) }
        var warnings: [Warning] = []
        for (place, (expert, measured)) in zip(experts, measured).enumerated() {
            guard let (file, header) = measured else { continue }
            let subject =
                "the statistics of \(expert.name), \(file.string.escapingControlCharacters), were measured on "
            if header.model != digests[place], let other = zip(experts, digests).first(where: { $1 == header.model }) {
                warnings.append(
                    Warning(
                        MergeWarning.otherStatistics,
                        "\(subject)\(other.0.name): give them in the order of the experts", file: file.string))
            }
            if let part = header.inputs.first(where: { !$0.isWhole }) {
                warnings.append(
                    Warning(
                        MergeWarning.partialStatistics,
                        "\(subject)a part of the inputs, \(part.text): `untangle stats --join` makes one file of all parts",
                        file: file.string))
            }
        }
        return warnings
    }
}
