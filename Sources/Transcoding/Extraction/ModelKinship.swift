import Checkpoints
import TensorCore

/// Whether a model has the tensors of a base, as everything has that was fine-tuned from it.
///
/// Only embeddings and heads may have another number of rows: vocabularies grow, and tasks have classes of their own. Tensors that the base
/// lacks are no difference: they are modules of the model's own, such as a new head.
enum ModelKinship {
    /// Makes sure of it.
    ///
    /// - Parameter selection: the tensors that count.
    /// - Throws: `convert.incompatible` with the first differences, and the rules that would make most names match, if there are such.
    static func check(
        _ model: TensorStore, from base: TensorStore, selection: TensorSelection
    ) throws(ConversionError) {
        let chosen = base.descriptors.filter { selection.contains($0.name) }
        let differences = chosen.compactMap { tensor -> String? in
            guard tensor.dtype.isComputable, !ComputedBuffer.isOne(tensor) else { return nil }
            guard let own = model.index(of: tensor.name).map({ model.descriptors[$0] }) else {
                return "tensor \"\(tensor.name)\" is in the base, not in the model"
            }
            guard own.shape != tensor.shape, !hasOtherRows(own, tensor) else { return nil }
            return "tensor \"\(tensor.name)\" has shape \(tensor.shape) in the base, \(own.shape) in the model"
        }
        guard !differences.isEmpty else { return }
        let shown = differences.prefix(3).joined(separator: "; ")
        let rest = differences.count > 3 ? "; and \(differences.count - 3) more" : ""
        let map = MapSuggestion(for: model.descriptors.filter { selection.contains($0.name) }, toMatch: chosen)
        throw .input(
            "incompatible", "\(model.path.string) does not come from \(base.path.string): \(shown)\(rest)",
            file: model.path.string,
            hint: MapSuggestion.options(of: [map]).map { "most names match with \($0)" }
                ?? "give the base that the model was fine-tuned from, or leave tensors out with --exclude")
    }

    /// Whether tensors of an embedding or a head differ in the number of their rows alone.
    private static func hasOtherRows(_ a: TensorDescriptor, _ b: TensorDescriptor) -> Bool {
        let modules = a.name.text.split(separator: ".").dropLast()
        guard a.shape.rank == b.shape.rank, a.shape.rank > 0, a.shape.dims.dropFirst() == b.shape.dims.dropFirst(),
            let last = modules.last
        else { return false }
        return AdapterPlan.isEmbedding(last) || heads.contains(last) || modules.contains("classifier")
    }

    private static let heads: Set<Substring> = [
        "lm_head", "embed_out", "head", "score", "output", "decoder", "predictions", "qa_outputs",
    ]
}
