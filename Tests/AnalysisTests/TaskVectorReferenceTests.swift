import Analysis
import Checkpoints
import Foundation
import Kernels
import TensorCore
import TestSupport
import Testing

/// The figures of public code on the same models, with their definitions at the head of the file.
@Suite("reference statistics of task vectors") struct TaskVectorReferenceTests {
    private let set: TaskVectorSet
    private let reference: [String: [String: Any]]

    init() throws {
        set = try TaskVectorSet(
            base: fixture("inputs/generic_float32/base"),
            experts: (1...3).map { (name: "ft\($0)", store: try fixture("inputs/generic_float32/ft\($0)")) })
        let data = try Data(
            contentsOf: URL(
                fileURLWithPath: Fixtures.path("parity/analysis/task_vector_stats_generic_f32_n3.json").string))
        let document = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        reference = try #require(document["tensors"] as? [String: [String: Any]])
    }

    private func number(_ value: Any?) -> Double? { (value as? NSNumber)?.doubleValue }
    private func numbers(_ value: Any?) -> [Double?] { (value as? [Any] ?? []).map(number) }

    /// - Parameter relative: of the figure itself, or of 1 where it is a cosine or a share near zero.
    private func expect(_ found: Double?, _ expected: Double?, _ label: String, to relative: Double = 1e-6) {
        guard let found, let expected else {
            #expect(found == nil && expected == nil, "\(label)")
            return
        }
        #expect(abs(found - expected) <= relative * abs(expected) + 1e-15, "\(label): \(found), not \(expected)")
    }

    @Test("norms, cosines and sign conflict of every tensor")
    func entries() throws {
        let found = try TaskVectorStatistics(set, level: .tensor)
        #expect(found.groups.count == reference.count)
        for group in found.groups {
            let expected = try #require(reference[group.name])
            for (expert, figures) in group.experts.enumerated() {
                expect(figures.norm, numbers(expected["norm"])[expert], "\(group.name) norm")
                expect(figures.relativeNorm, numbers(expected["rel_norm"])[expert], "\(group.name) relative norm")
            }
            let cosines = try #require(expected["cosine"] as? [[Any]])
            for pair in group.pairs {
                expect(pair.cosine, number(cosines[pair.a][pair.b]), "\(group.name) cosine")
            }
            expect(group.signConflict, number(expected["sign_conflict"]), "\(group.name) sign conflict")
            expect(
                group.signConflictWeighted, number(expected["sign_conflict_weighted"]),
                "\(group.name) weighted conflict")
        }
    }

    /// The changes of `lowrank.weight` have rank 2: the reference counts ten directions of rounding noise, which are arbitrary, in
    /// its interference, and their values in its effective rank.
    @Test("spectra, interference and alignment of every matrix")
    func spectra() throws {
        let found = try set.spectra()
        #expect(found.count == reference.values.count { $0["singular_values"] != nil })
        for matrix in found {
            let name = matrix.matrix.name
            let expected = try #require(reference[name])
            let isLowRank = name == "lowrank.weight"
            for (expert, spectrum) in matrix.experts.enumerated() {
                let values = numbers((expected["singular_values"] as? [Any])?[expert])
                #expect(values.count == spectrum.singularValues.count)
                for (place, value) in spectrum.singularValues.enumerated() where !isLowRank || place < 2 {
                    expect(value, values[place], "\(name) singular value")
                }
                expect(spectrum.stableRank, numbers(expected["stable_rank"])[expert], "\(name) stable rank")
                expect(
                    spectrum.linearEffectiveRank, numbers(expected["effective_rank"])[expert], "\(name) effective rank",
                    to: isLowRank ? 1e-5 : 1e-6)
                #expect(spectrum.numericalRank.map(Double.init) == numbers(expected["numerical_rank_1e-6"])[expert])
                if expected["sar"] != nil {
                    expect(
                        matrix.sum?.alignmentRatios[expert], numbers(expected["sar"])[expert], "\(name) alignment ratio"
                    )
                }
            }
            if expected["sar_k"] != nil {
                #expect(matrix.sum.map { Double($0.alignmentRank) } == number(expected["sar_k"]), "\(name)")
            }
            if !isLowRank {
                expect(matrix.interference, number(expected["sti"]), "\(name) interference")
                expect(matrix.fullInterference, number(expected["sti_full"]), "\(name) full interference")
            }
        }
    }
}
