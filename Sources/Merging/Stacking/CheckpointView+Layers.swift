import Checkpoints
import TensorCore

extension CheckpointView {
    /// Shows some layers of a checkpoint under other numbers, and what stands before and behind them.
    ///
    /// - Parameters:
    ///   - layers: which layers of the source there are.
    ///   - firstLayer: the number that the first of them gets.
    ///   - includesTensorsBefore: whether there is what comes before the layers, such as embeddings.
    ///   - includesTensorsBehind: whether there is what comes behind the layers, such as the final norm and the head.
    public init(
        of source: any CheckpointReader, layers: Range<Int>, firstLayer: Int, includesTensorsBefore: Bool,
        includesTensorsBehind: Bool
    ) {
        var tensors: [(place: Int, name: TensorName)] = []
        for (place, descriptor) in source.descriptors.enumerated() {
            if let name = LayerName(descriptor.name) {
                guard layers.contains(name.number) else { continue }
                tensors.append((place, name.inLayer(name.number - layers.lowerBound + firstLayer)))
            } else if descriptor.name.comesBeforeLayers ? includesTensorsBefore : includesTensorsBehind {
                tensors.append((place, descriptor.name))
            }
        }
        self.init(source, showing: tensors)
    }
}
