import Analysis
import Checkpoints
import Kernels
import SystemPackage
import TensorCore
import Testing

@Suite struct AnalysisErrorTests {
    /// A checkpoint that says what it has and has nothing.
    private struct Announcement: CheckpointReader {
        let descriptors: [TensorDescriptor]
        let metadata = Metadata()
        var format: FormatID { .safetensors }
        var path: FilePath { "announcement" }
        var files: [FilePath] { [] }
        var warnings: [Warning] { [] }
        func isMapped(_ index: Int) -> Bool { true }
        func location(of index: Int) -> StoredLocation { StoredLocation(file: path, range: 0..<0) }
        func bytes(of index: Int) throws -> TensorBytes { throw AnnouncementError() }
        func verify(
            deep: Bool, threads: Int, progress: @escaping @Sendable (Int) -> Void
        ) throws -> Verification { Verification() }
    }

    private struct AnnouncementError: Error {}

    private func failure(_ work: () throws -> Void) throws -> AnalysisError {
        try #require(throws: AnalysisError.self, performing: work)
    }

    @Test func optionsOutOfRangeAreRefused() throws {
        let model = try makeModel([("w", [1], [0])])
        let set = try TaskVectorSet(base: model, experts: [(name: "x", store: model)])
        for share in [0, -1, 1.5, .nan] {
            let error = try failure { _ = try TaskVectorStatistics(set, topShare: share) }
            #expect(error.code == "analysis.bad_option" && error.severity == .usage)
        }
    }

    @Test func modelsThatDoNotFitAreRefused() throws {
        let error = try failure {
            _ = try TaskVectorSet(
                base: makeModel([("w", [1], [0])]), experts: [(name: "x", store: makeModel([("v", [1], [0])]))])
        }
        #expect(error.code == "analysis.incompatible" && error.severity == .badInput)
    }

    /// LAPACK counts rows in 32 bits.
    @Test func matricesThatLAPACKCannotCountAreRefusedBeforeTheyAreRead() throws {
        let huge = try TensorDescriptor(name: "w", dtype: .f16, shape: [1 << 31, 1])
        let store = TensorStore(Announcement(descriptors: [huge]))
        let set = try TaskVectorSet(base: store, experts: [(name: "x", store: store)])
        let error = try failure { _ = try set.spectra() }
        #expect(error.code == "analysis.memory" && error.severity == .resources && error.tensor == "w")
        #expect(error.hint == "leave it out with --exclude")
    }

    /// No finite matrix is known on which the iteration fails.
    @Test func decompositionsThatDoNotConvergeNameTheirTensor() throws {
        let error = AnalysisError(
            .notConverged(3), tensor: try TensorDescriptor(name: "w", dtype: .f32, shape: [2, 2]))
        #expect(error.code == "analysis.not_converged" && error.severity == .badInput && error.tensor == "w")
        #expect(error.message.contains("(info 3)"))
    }
}
