import ModelFolders
import Reporting

extension ModelDescription {
    /// For documents: what is known.
    var facts: [Report.Fact] {
        func fact(_ key: String, _ value: Report.Value?) -> Report.Fact { .init(key, value ?? .absent) }
        return [
            fact("architecture", architecture.map(Report.Value.text)), fact("part", part.map(Report.Value.text)),
            fact("layers", layers.map(Report.Value.integer)),
            fact("present_layers", presentLayers.map(Report.Value.integer)),
            fact("width", width.map(Report.Value.integer)), fact("heads", heads.map(Report.Value.integer)),
            fact("key_value_heads", keyValueHeads.map(Report.Value.integer)),
            fact("vocabulary", vocabulary.map(Report.Value.integer)),
            fact("experts", experts.map(Report.Value.integer)),
            fact("experts_per_token", expertsPerToken.map(Report.Value.integer)),
            fact("quantization", quantization.map(Report.Value.text)),
            fact("adapter", adapter.map { .facts($0.facts) }),
            fact("config", config.map { .text($0.string) }),
        ].filter { $0.value != .absent }
    }
}

extension ModelDescription.Adapter {
    fileprivate var facts: [Report.Fact] {
        [.init("kind", .text(kind))]
            + (ranks.map { [.init("ranks", .integers([$0.lowerBound, $0.upperBound]))] } ?? [])
            + (base.map { [.init("base", .text($0))] } ?? [])
    }
}
