import Merging
import ModelFolders
import Reporting
import TensorCore
import Work
import Workflow

extension StackedMerge {
    /// What `--dry-run` tells people.
    ///
    /// - Parameters:
    ///   - space: of the output, if there is one.
    ///   - share: the part of the output that is to be written; nil for all.
    func text(_ space: DiskSpace?, _ share: MergeJob.PartShare?) -> String {
        var table = Table([.init("what"), .init("", .right)])
        table.showsTitles = false
        table.append(["method", method.name])
        table.append(["units", outputs.count.grouped])
        table.append(["tensors merged element by element", summary.elementwiseCount.grouped])
        table.append(["tensors merged as matrices", summary.matrixCount.grouped])
        table.append(["tensors copied", summary.copiedCount.grouped])
        table.append(["parameters", summary.parameterCount.grouped])
        table.append(["passes over the inputs", summary.passCount.grouped])
        table.append(["input, one pass", "\(ByteSize(summary.inputByteCount))"])
        table.append(["read in all passes", "\(ByteSize(summary.readByteCount))"])
        table.append(["output", "\(ByteSize(summary.outputByteCount))"])
        if let share {
            table.append(["part \(share.part)", share.shardsText])
            table.append(["tensors of the part", share.tensorCount.grouped])
            table.append(["parameters of the part", share.parameterCount.grouped])
            table.append(["output of the part", "\(ByteSize(share.byteCount))"])
        }
        if let space {
            table.append(["disk space needed", "\(ByteSize(space.neededByteCount))"])
            table.append(["disk space free", space.freeByteCount.map { "\(ByteSize($0))" } ?? "unknown"])
        }
        table.append(["working memory at most", summary.memoryText])
        table.append(["threads", summary.threads.grouped])
        return table.rendered() + summary.warnings.map(WarningRenderer.text).joined()
    }

    /// What `--dry-run --json` prints.
    ///
    /// - Parameters:
    ///   - space: of the output, if there is one.
    ///   - share: the part of the output that is to be written; nil for all.
    ///   - warnings: what was warned of before the plan was made.
    func json(_ space: DiskSpace?, _ share: MergeJob.PartShare?, after warnings: [Warning]) -> JSONOutput {
        let document: JSONOutput = [
            "method": .string(method.name),
            "units": .integer(outputs.count),
            "tensors": [
                "elementwise": .integer(summary.elementwiseCount), "matrices": .integer(summary.matrixCount),
                "copied": .integer(summary.copiedCount),
            ],
            "parameters": .integer(summary.parameterCount),
            "passes": .integer(summary.passCount),
            "input_bytes": .integer(summary.inputByteCount),
            "read_bytes": .integer(summary.readByteCount),
            "output_bytes": .integer(summary.outputByteCount),
            "memory_bytes": .integer(summary.workingByteCount),
            "memory_limit_bytes": summary.memoryLimit.map { .integer($0) } ?? .null,
            "threads": .integer(summary.threads),
            "warnings": .strings((warnings + summary.warnings).map(\.text)),
        ]
        return document.adding(
            "part",
            share.map { share in
                [
                    "part": .string(share.part.description), "shards": .integer(share.shards.count),
                    "shards_in_all": .integer(share.shardCount), "tensors": .integer(share.tensorCount),
                    "parameters": .integer(share.parameterCount), "output_bytes": .integer(share.byteCount),
                ]
            }
        ).adding(
            "disk",
            space.map { space in
                [
                    "needed_bytes": .integer(space.neededByteCount),
                    "free_bytes": space.freeByteCount.map(JSONOutput.integer) ?? .null,
                ]
            })
    }
}

/// What `--list-methods` prints, made from what the methods declare.
enum MethodList {
    static var text: String {
        let common = MergeMethods.commonParameters
        let methods = MergeMethods.all.map { method in
            let info = method.info
            let own = info.parameters.filter { !common.contains($0) }
            return "\(info.name) (\(needs(info)))\n  \(info.summary)\n  \(info.paper)\n" + table(of: own)
        }
        return methods.joined(separator: "\n")
            + "\nevery method, where there is a base\n  LiNeS: Wang et al. 2024, arXiv:2410.17146\n" + table(of: common)
            + "\nSet them with --set KEY=VALUE; what is per expert takes one value for all, or one for each: weight=1,0.5.\n"
    }

    /// What has to be given.
    private static func needs(_ info: MethodInfo) -> String {
        let (least, most) = (info.expertCounts.lowerBound, info.expertCounts.upperBound)
        let count = least == most ? "\(least)" : "\(least) or more"
        let experts = "\(count) \(most == 1 ? "expert" : "experts")"
        return info.needsBase ? "base and \(experts)" : info.usesBase ? "\(experts), base optional" : experts
    }

    private static func table(of parameters: [ParameterSpec]) -> String {
        guard !parameters.isEmpty else { return "" }
        var table = Table([.init("parameter"), .init("default"), .init("takes"), .init("")])
        table.showsTitles = false
        for parameter in parameters {
            table.append([
                "  " + parameter.name, parameter.defaultText,
                parameter.expectation + (parameter.isPerExpert ? ", per expert" : ""), parameter.help,
            ])
        }
        return table.rendered()
    }

    static var json: JSONOutput {
        [
            "methods": .array(
                MergeMethods.all.map { method in
                    let info = method.info
                    let most = info.expertCounts.upperBound
                    return [
                        "name": .string(info.name), "summary": .string(info.summary), "paper": .string(info.paper),
                        "needs_base": .bool(info.needsBase), "uses_base": .bool(info.usesBase),
                        "experts": [
                            "minimum": .integer(info.expertCounts.lowerBound),
                            "maximum": most == Int.max ? .null : .integer(most),
                        ],
                        "parameters": .array(info.parameters.map(json)),
                    ]
                })
        ]
    }

    private static func json(_ parameter: ParameterSpec) -> JSONOutput {
        var choices: JSONOutput = .null
        if case .choice(let texts) = parameter.kind { choices = .strings(texts) }
        func number(_ value: Double) -> JSONOutput {
            parameter.kind == .wholeNumber ? .integer(Int(value)) : .number(value)
        }
        func json(_ value: ParameterValue) -> JSONOutput {
            switch value {
            case .number(let value): number(value)
            case .flag(let flag): .bool(flag)
            case .text(let text): .string(text)
            case .list(let values): .array(values.map(json))
            }
        }
        return [
            "name": .string(parameter.name), "kind": .string(parameter.kind.name),
            "default": parameter.isRequired ? .null : json(parameter.defaultValue),
            "minimum": parameter.range.map { number($0.lowerBound) } ?? .null,
            "maximum": parameter.range.flatMap { $0.upperBound >= 0x1p53 ? nil : number($0.upperBound) } ?? .null,
            "choices": choices, "takes": .string(parameter.expectation), "per_expert": .bool(parameter.isPerExpert),
            "required": .bool(parameter.isRequired), "help": .string(parameter.help),
        ]
    }
}

extension MergeJob.PartShare {
    /// Such as `2 of 5 shards`.
    var shardsText: String { "\(shards.count) of \(shardCount) \(shardCount == 1 ? "shard" : "shards")" }
}

extension MergeSummary {
    /// The most working memory, and what is allowed.
    var memoryText: String {
        "\(ByteSize(workingByteCount))" + (memoryLimit.map { " of \(ByteSize($0)) allowed" } ?? "")
    }
}
