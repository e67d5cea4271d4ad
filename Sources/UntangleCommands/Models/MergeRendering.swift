import Merging
import ModelFolders
import Reporting
import TensorCore
import Work
import Workflow

extension StackedMerge {
    /// What `--dry-run` tells.
    ///
    /// - Parameters:
    ///   - space: of the output, if there is one.
    ///   - share: the part of the output that is to be written; nil for all.
    ///   - warnings: what was warned of before the plan was made.
    func report(_ space: DiskSpace?, _ share: MergeJob.PartShare?, after warnings: [Warning]) -> Report {
        let part: [Report.Fact] =
            share.map {
                [
                    .init(nil, "part \($0.part)", .text, .text($0.shardsText)),
                    .init(nil, "tensors of the part", .count, .integer($0.tensorCount)),
                    .init(nil, "parameters of the part", .count, .integer($0.parameterCount)),
                    .init(nil, "output of the part", .bytes, .integer($0.byteCount)),
                ]
            } ?? []
        let disk: [Report.Fact] =
            space.map {
                [
                    .init(nil, "disk space needed", .bytes, .integer($0.neededByteCount)),
                    .init(
                        nil, "disk space free", .bytes, $0.freeByteCount.map(Report.Value.integer) ?? .text("unknown")),
                ]
            } ?? []
        return Report(
            title: "Plan of \(method.name)",
            sections: [
                .group([
                    .facts(
                        [
                            .init("method", "method", .text, .text(method.name)),
                            .init("units", "units", .count, .integer(outputs.count)),
                            .init(
                                "tensors.elementwise", "tensors merged element by element", .count,
                                .integer(summary.elementwiseCount)),
                            .init(
                                "tensors.matrices", "tensors merged as matrices", .count, .integer(summary.matrixCount)),
                            .init("tensors.copied", "tensors copied", .count, .integer(summary.copiedCount)),
                            .init("parameters", "parameters", .count, .integer(summary.parameterCount)),
                            .init("passes", "passes over the inputs", .count, .integer(summary.passCount)),
                            .init("input_bytes", "input, one pass", .bytes, .integer(summary.inputByteCount)),
                            .init("read_bytes", "read in all passes", .bytes, .integer(summary.readByteCount)),
                            .init("output_bytes", "output", .bytes, .integer(summary.outputByteCount)),
                        ] + part + disk + [
                            .init("memory_bytes", .integer(summary.workingByteCount)),
                            .init("memory_limit_bytes", .init(summary.memoryLimit)),
                            .init(nil, "working memory at most", .text, .text(summary.memoryText)),
                            .init("threads", "threads", .count, .integer(summary.threads)),
                        ]),
                    .text(summary.warnings.flatMap(WarningRenderer.lines)),
                ]),
                .warnings,
                .facts(
                    share.map {
                        [
                            .init("part.part", .text($0.part.description)),
                            .init("part.shards", .integer($0.shards.count)),
                            .init("part.shards_in_all", .integer($0.shardCount)),
                            .init("part.tensors", .integer($0.tensorCount)),
                            .init("part.parameters", .integer($0.parameterCount)),
                            .init("part.output_bytes", .integer($0.byteCount)),
                        ]
                    } ?? []),
                .facts(
                    space.map {
                        [
                            .init("disk.needed_bytes", .integer($0.neededByteCount)),
                            .init("disk.free_bytes", .init($0.freeByteCount)),
                        ]
                    } ?? []),
            ], warnings: warnings + summary.warnings)
    }
}

/// What `--list-methods` prints, made from what the methods declare.
enum MethodList {
    static var report: Report {
        let common = MergeMethods.commonParameters
        let methods = MergeMethods.all.map(\.info)
        let documents = Report.Table(
            "methods",
            [
                "name", "summary", "paper", "needs_base", "uses_base", "experts.minimum", "experts.maximum",
                "parameters",
            ].map { Report.Column($0, nil) },
            rows: methods.map { info in
                let (least, most) = (info.expertCounts.lowerBound, info.expertCounts.upperBound)
                return [
                    .text(info.name), .text(info.summary), .text(info.paper), .flag(info.needsBase),
                    .flag(info.usesBase), .integer(least), most == Int.max ? .none : .integer(most),
                    .table(table(of: info.parameters)),
                ]
            })
        return Report(
            title: "Merge methods",
            sections: [.table(documents)]
                + methods.map { info -> Report.Section in
                    let own = info.parameters.filter { !common.contains($0) }
                    let words = ["\(info.name) (\(needs(info)))", "  \(info.summary)", "  \(info.paper)"]
                    return .group([.text(words)] + (own.isEmpty ? [] : [.table(table(of: own))]))
                } + [
                    .group([
                        .text([
                            "every method, where there is a base", "  SVC: 2026, arXiv:2602.05536",
                            "  boosting: 2025, arXiv:2506.16506", "  LiNeS: Wang et al. 2024, arXiv:2410.17146",
                        ]),
                        .table(table(of: common)),
                    ]),
                    .text([
                        "Set them with --set KEY=VALUE; what is per expert takes one value for all, or one for each: weight=1,0.5."
                    ]),
                ])
    }

    /// What has to be given.
    private static func needs(_ info: MethodInfo) -> String {
        let (least, most) = (info.expertCounts.lowerBound, info.expertCounts.upperBound)
        let count = least == most ? "\(least)" : "\(least) or more"
        let experts = "\(count) \(most == 1 ? "expert" : "experts")"
        return info.needsBase ? "base and \(experts)" : info.usesBase ? "\(experts), base optional" : experts
    }

    /// What a parameter takes, in a column: long lists of choices stand in its help.
    private static func brief(_ expectation: String) -> String { expectation.count > 40 ? "a choice" : expectation }

    private static func table(of parameters: [ParameterSpec]) -> Report.Table {
        Report.Table(
            nil,
            [
                .init("name", nil), .init("kind", nil), .init("default", nil), .init("minimum", nil),
                .init("maximum", nil), .init("choices", nil), .init("takes", nil), .init("per_expert", nil),
                .init("required", nil), .init(nil, ""), .init(nil, ""), .init(nil, ""), .init("help", ""),
            ],
            rows: parameters.map { parameter in
                func number(_ value: Double) -> Report.Value {
                    parameter.kind == .wholeNumber ? .integer(Int(value)) : .number(value)
                }
                func stated(_ value: ParameterValue) -> Report.Value {
                    switch value {
                    case .number(let value): number(value)
                    case .flag(let flag): .flag(flag)
                    case .text(let text): .text(text)
                    case .list(let values): .list(values.map(stated))
                    }
                }
                var choices: Report.Value = .none
                switch parameter.kind {
                case .choice(let texts): choices = .texts(texts)
                case .numberOr(let word): choices = .texts([word])
                default: break
                }
                return [
                    .text(parameter.name), .text(parameter.kind.name),
                    parameter.isRequired ? .none : stated(parameter.defaultValue),
                    parameter.range.map { number($0.lowerBound) } ?? .none,
                    parameter.range.flatMap { $0.upperBound >= 0x1p53 ? nil : number($0.upperBound) } ?? .none,
                    choices, .text(parameter.expectation), .flag(parameter.isPerExpert), .flag(parameter.isRequired),
                    .text("  " + parameter.name), .text(parameter.defaultText),
                    .text(Self.brief(parameter.expectation) + (parameter.isPerExpert ? ", per expert" : "")),
                    .text(parameter.help),
                ]
            })
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
