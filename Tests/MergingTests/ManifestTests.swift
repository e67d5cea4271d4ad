import Checkpoints
import Merging
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// Every case of the reference data's manifest: merged and compared, or left out for the reason that the list gives.
@Suite("merges of the manifest") struct ManifestTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let id: String
        let method: String
        let base: String?
        let experts: [String]
        let settings: [String]
        let expected: String
        let kind: String
        let reason: String
        var testDescription: String { id }

        init?(_ line: Substring) {
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
            guard fields.count == 8 else { return nil }
            id = fields[0]
            method = fields[1]
            base = fields[2] == "-" ? nil : fields[2]
            experts = fields[3].split(separator: ",").map(String.init)
            settings = fields[4].split(separator: ";").map(String.init)
            expected = fields[5]
            kind = fields[6]
            reason = fields[7]
        }

        func parameters() throws -> MergeParameters {
            var parameters = MergeParameters()
            for setting in settings {
                guard setting.hasPrefix("statistics=") else {
                    try parameters.set(setting)
                    continue
                }
                let files = setting.dropFirst("statistics=".count).split(separator: ",")
                parameters["statistics"] = .list(files.map { .text(Fixtures.path("parity/\($0)").string) })
            }
            return parameters
        }
    }

    static let cases: [Case] = {
        guard let text = try? readText(Fixtures.path("parity/cases.tsv")) else { return [] }
        return text.split(separator: "\n").compactMap { Case($0) }
    }()

    static func readText(_ path: FilePath) throws -> String {
        let file = try MappedFile(path)
        return String(decoding: file.bytes, as: UTF8.self)
    }

    @Test("the list is whole, and what is left out has a reason")
    func list() throws {
        #expect(Self.cases.count == 174)
        let left = Self.cases.filter { $0.kind == "skip" }
        #expect(left.allSatisfy { !$0.reason.isEmpty })
        #expect(left.count == 98)
        let page = try Self.readText(Fixtures.path("parity/skipped.md"))
        for test in left { #expect(page.contains("`\(test.id)`"), "\(test.id)") }
        let compared = Set(Self.cases.filter { $0.kind != "skip" }.map(\.method))
        // Random masks are compared at a density of 1 here; the rest has tests of its own.
        let missing = MergeMethods.all.map(\.info.name).filter { !compared.contains($0) }
        #expect(missing == ["average", "passthrough"])
    }

    @Test("as other implementations merge", arguments: cases.filter { $0.kind != "skip" })
    func compare(_ test: Case) throws {
        let base = try test.base.map(fixture)
        let experts = try test.experts.map(fixture)
        let expected = try fixture(test.expected)
        let merged = try merge(
            test.method, base: base, experts, test.parameters(),
            selection: TensorSelection(only: expected.descriptors.map(\.name.text)))
        #expect(merged.plan.outputs.count == expected.descriptors.count)
        for descriptor in expected.descriptors where !descriptor.dtype.isComputable {
            #expect(try merged.store.rawBytes(descriptor.name) == expected.rawBytes(descriptor.name))
        }
        guard test.kind != "bf16" else { return try compareBrainFloats(merged.store, expected, method: test.method) }
        let isTaskVector = test.kind.hasSuffix("task_vector")
        let differences = try differences(merged.store, expected, plus: isTaskVector ? base : nil)
        for (name, difference) in differences {
            if isIllDetermined(name, test.method) { continue }
            if test.method == "wudi", name == "frozen.weight" {
                // The reference divides zero by zero where no expert changed anything.
                #expect(try merged.store.rawBytes(name) == base?.rawBytes(name))
                continue
            }
            let largest = try test.kind == "sphere" ? expected.values(name).map(abs).max() ?? 0 : 0
            let tolerance = test.kind == "sphere" ? 2e-6 * largest : test.kind.hasPrefix("svd") ? 1e-5 : 1e-6
            #expect(difference <= tolerance, "\(name)")
        }
    }

    /// Singular vectors beyond the rank of a matrix are arbitrary: the references differ from themselves there.
    func isIllDetermined(_ name: TensorName, _ method: String) -> Bool {
        name == "lowrank.weight" && ["tsv_m", "iso_c", "iso_cts"].contains(method)
    }

    /// mergekit accumulates `linear` and `slerp` in F32 as we do; its other methods compute in BF16, so that a share of the
    /// entries is further away, and more of them where a threshold decides.
    func compareBrainFloats(_ merged: TensorStore, _ expected: TensorStore, method: String) throws {
        let isSingle = ["linear", "slerp"].contains(method)
        var far = 0
        var total = 0
        for descriptor in expected.descriptors where descriptor.dtype == .bf16 {
            let a = try merged.rawBytes(descriptor.name)
            let b = try expected.rawBytes(descriptor.name)
            for i in 0..<descriptor.elementCount {
                func ordered(_ bytes: [UInt8]) -> Int {
                    let bits = Int(bytes[2 * i]) | Int(bytes[2 * i + 1]) << 8
                    return bits & 0x8000 == 0 ? bits : 0x8000 - bits
                }
                if abs(ordered(a) - ordered(b)) > (isSingle ? 1 : 2) { far += 1 }
                total += 1
            }
        }
        #expect(total > 20_000)
        #expect(Double(far) <= (isSingle ? 0 : 0.03) * Double(total), "\(far) of \(total)")
    }
}
