import Kernels
import Networks

/// What is known of each input of a task under an expert and a merged model: numbers whose means are figures.
public struct InputOutcomes: Sendable, Hashable {
    /// For each kind of distance those between both outputs, `[N]`; NaN where outputs are not finite.
    public let distances: [[Double]]
    /// 1 where both choose the same class, 0 elsewhere, `[N]`; NaN when outputs are not finite.
    public let agreements: [Double]
    /// 1 where the expert chooses the label, 0 elsewhere, `[N]`; nil without labels, NaN when outputs are not finite.
    public let expertHits: [Double]?
    /// The same of the merged model.
    public let mergedHits: [Double]?

    init(_ reference: ExpertReference, features: [Float], _ distances: [Distance]) {
        let data = reference.data
        let logits = HeadBank([data.task.head]).logits(features: features)
        let unknown = [Double](repeating: .nan, count: data.inputs.count)
        func numbers(_ flags: [Bool]?) -> [Double] { flags?.map { $0 ? 1 : 0 } ?? unknown }
        self.distances = distances.map { reference.distances($0, to: logits) }
        let (expert, merged) = (data.choices(of: reference.logits), data.choices(of: logits))
        agreements = numbers(expert.flatMap { expert in merged.map { zip(expert, $0).map(==) } })
        expertHits = data.labels == nil ? nil : numbers(data.hits(of: reference.logits))
        mergedHits = data.labels == nil ? nil : numbers(data.hits(of: logits))
    }
}
