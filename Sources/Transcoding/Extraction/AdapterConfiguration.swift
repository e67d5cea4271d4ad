import Reporting

/// The `adapter_config.json` of an adapter whose factor is 1: alpha is the rank, for every module.
struct AdapterConfiguration {
    private let plan: AdapterPlan
    private let ranks: [Int]
    private let base: String
    private let isCausal: Bool

    init(_ plan: AdapterPlan, ranks: [Int], base: String, isCausal: Bool) {
        self.plan = plan
        self.ranks = ranks
        self.base = base
        self.isCausal = isCausal
    }

    /// Keys that PEFT has defaults for are left to it.
    var document: JSONOutput {
        let modules = zip(plan.items, ranks).filter { $1 > 0 }.map { (name: $0.module, rank: $1) }
        var counts: [Int: Int] = [:]
        for module in modules { counts[module.rank, default: 0] += 1 }
        // The rank of most modules; that of others is a pattern.
        let rank = counts.max { ($0.value, $0.key) < ($1.value, $1.key) }?.key ?? 1
        let others: [JSONOutput.Member] = modules.filter { $0.rank != rank }.map { .init($0.name, .integer($0.rank)) }
        func texts(_ texts: [String]) -> JSONOutput { .array(texts.map { .string($0) }) }
        return [
            "peft_type": "LORA",
            "task_type": isCausal ? "CAUSAL_LM" : nil,
            "base_model_name_or_path": .string(base),
            "r": .integer(rank),
            "lora_alpha": .integer(rank),
            "rank_pattern": .object(others),
            "alpha_pattern": .object(others),
            "target_modules": texts(modules.map(\.name)),
            "modules_to_save": plan.savedModules.isEmpty ? nil : texts(plan.savedModules),
            "bias": plan.biases.isEmpty ? "none" : "lora_only",
            "fan_in_fan_out": .bool(plan.isTransposed),
            "lora_dropout": 0,
            "init_lora_weights": true,
            "inference_mode": true,
            "use_rslora": false,
            "use_dora": false,
        ]
    }
}
