import Reporting

/// The `adapter_config.json` of an adapter whose factor is 1: alpha is the rank, for every module.
package struct AdapterConfiguration {
    private let modules: [(name: String, rank: Int)]
    private let savedModules: [String]
    private let biases: Biases
    private let isTransposed: Bool
    private let base: String?
    private let task: String?

    /// Which biases go along.
    package enum Biases: String {
        case none
        /// Those of modules with factors.
        case ofModules = "lora_only"
        case all
    }

    /// Describes an adapter.
    ///
    /// - Parameters:
    ///   - modules: those with factors.
    ///   - savedModules: those that are there as a whole.
    ///   - isTransposed: whether weights are stored as `[inputs, outputs]`.
    ///   - base: what the base is called.
    ///   - task: what PEFT calls that which the model is for.
    package init(
        modules: [(name: String, rank: Int)], savedModules: [String], biases: Biases, isTransposed: Bool, base: String?,
        task: String?
    ) {
        self.modules = modules
        self.savedModules = savedModules
        self.biases = biases
        self.isTransposed = isTransposed
        self.base = base
        self.task = task
    }

    /// Keys that PEFT has defaults for are left to it.
    var document: JSONOutput {
        var counts: [Int: Int] = [:]
        for module in modules { counts[module.rank, default: 0] += 1 }
        // The rank of most modules; that of others is a pattern.
        let rank = counts.max { ($0.value, $0.key) < ($1.value, $1.key) }?.key ?? 1
        let others: [JSONOutput.Member] = modules.filter { $0.rank != rank }.map { .init($0.name, .integer($0.rank)) }
        func texts(_ texts: [String]) -> JSONOutput { .array(texts.map { .string($0) }) }
        return [
            "peft_type": "LORA",
            "task_type": task.map { .string($0) } ?? nil,
            "base_model_name_or_path": base.map { .string($0) } ?? nil,
            "r": .integer(rank),
            "lora_alpha": .integer(rank),
            "rank_pattern": .object(others),
            "alpha_pattern": .object(others),
            "target_modules": texts(modules.map(\.name)),
            "modules_to_save": savedModules.isEmpty ? nil : texts(savedModules),
            "bias": .string(biases.rawValue),
            "fan_in_fan_out": .bool(isTransposed),
            "lora_dropout": 0,
            "init_lora_weights": true,
            "inference_mode": true,
            "use_rslora": false,
            "use_dora": false,
        ]
    }
}
