import Merging
import Reporting

extension MergePlan {
    /// What `--dry-run` tells people.
    var text: String {
        var table = Table([.init("what"), .init("", .right)])
        table.showsTitles = false
        table.append(["method", method.name])
        table.append(["tensors merged element by element", summary.elementwiseCount.grouped])
        table.append(["tensors merged as matrices", summary.matrixCount.grouped])
        table.append(["tensors copied", summary.copiedCount.grouped])
        table.append(["parameters", summary.parameterCount.grouped])
        table.append(["passes over the inputs", summary.passCount.grouped])
        table.append(["input, one pass", "\(ByteSize(summary.inputByteCount))"])
        table.append(["output", "\(ByteSize(summary.outputByteCount))"])
        let limit = summary.memoryLimit.map { " of \(ByteSize($0)) allowed" } ?? ""
        table.append(["working memory at most", "\(ByteSize(summary.workingByteCount))\(limit)"])
        table.append(["threads", summary.threads.grouped])
        return table.rendered() + summary.warnings.map { "warning: \($0)\n" }.joined()
    }

    /// - Parameter warnings: what was warned of before the plan was made.
    func json(after warnings: [String]) -> JSONOutput {
        [
            "method": .string(method.name),
            "tensors": [
                "elementwise": .integer(summary.elementwiseCount), "matrices": .integer(summary.matrixCount),
                "copied": .integer(summary.copiedCount),
            ],
            "parameters": .integer(summary.parameterCount),
            "passes": .integer(summary.passCount),
            "input_bytes": .integer(summary.inputByteCount),
            "output_bytes": .integer(summary.outputByteCount),
            "memory_bytes": .integer(summary.workingByteCount),
            "memory_limit_bytes": summary.memoryLimit.map { .integer($0) } ?? .null,
            "threads": .integer(summary.threads),
            "warnings": .strings(warnings + summary.warnings),
        ]
    }
}

/// What `--list-methods` prints, made from what the methods declare.
enum MethodList {
    static var text: String {
        MergeMethods.all.map { method in
            let info = method.info
            var text = "\(info.name)\(info.needsBase ? "" : " (needs no base)")\n  \(info.summary)\n  \(info.paper)\n"
            if !info.parameters.isEmpty {
                var table = Table([.init("parameter"), .init("default"), .init("takes"), .init("")])
                table.showsTitles = false
                for parameter in info.parameters {
                    table.append([
                        "  " + parameter.name, parameter.defaultValue.description,
                        parameter.expectation + (parameter.isPerExpert ? ", per expert" : ""), parameter.help,
                    ])
                }
                text += table.rendered()
            }
            return text
        }.joined(separator: "\n")
    }

    static var json: JSONOutput {
        [
            "methods": .array(
                MergeMethods.all.map { method in
                    [
                        "name": .string(method.info.name), "summary": .string(method.info.summary),
                        "paper": .string(method.info.paper), "needs_base": .bool(method.info.needsBase),
                        "parameters": .array(
                            method.info.parameters.map {
                                [
                                    "name": .string($0.name), "default": $0.defaultValue.json,
                                    "takes": .string($0.expectation), "per_expert": .bool($0.isPerExpert),
                                    "help": .string($0.help),
                                ]
                            }),
                    ]
                })
        ]
    }
}

extension ParameterValue {
    fileprivate var json: JSONOutput {
        switch self {
        case .number(let number): .number(number)
        case .flag(let flag): .bool(flag)
        case .text(let text): .string(text)
        case .list(let values): .array(values.map(\.json))
        }
    }
}
