import Checkpoints
import SystemPackage
import TensorCore

/// A checkpoint on its way into a GGUF file: under the names there, with the metadata that the file is to have.
public struct GGUFSource: Sendable {
    public let store: TensorStore
    public private(set) var metadata: GGUFMetadata
    public let warnings: [Warning]
    /// What is left to be done to the tensors of the store.
    public private(set) var options: ConversionOptions

    /// Prepares a checkpoint that was opened as it is stored.
    ///
    /// A GGUF file keeps its blocks, unless a type is asked for, and its metadata with their types. The metadata of a model of
    /// transformers come from the configuration and the tokenizer beside it.
    ///
    /// - Parameters:
    ///   - options: what is selected and renamed, by the names that the tensors have in the input; the type that is asked for.
    ///   - folder: where the configuration lies.
    /// - Throws: `FormatError` when a tensor has no name in GGUF or is not as the configuration says; `ConversionError` as
    ///   `ConversionPlan` does; `EditError` `edit.bad_value` for metadata; `IOError` when there is no memory.
    public init(_ opened: TensorStore, folder: FilePath, options: ConversionOptions) throws {
        let (places, notes) = try options.chosen(of: opened.reader)
        let chosen = CheckpointView(opened.reader, showing: places)
        let layout: (@Sendable (TensorDescriptor, ElementLayout) -> ElementLayout)?
        var warnings: [Warning] = []
        if let file = opened.reader as? GGUFReader {
            metadata = file.typedMetadata
            layout = options.layout == nil ? nil : GGUFTranslation.layout
            if let layout = options.layout {
                store = TensorStore(try CheckpointView(decoding: chosen))
                if let number = layout.ggufFileType { metadata["general.file_type"] = .uint32(number) }
            } else {
                store = TensorStore(chosen)
            }
        } else if let model = try GGUFModel(
            chosen, folder: folder, layout: options.layout ?? Self.mainLayout(of: chosen),
            isWhole: options.lost.isEmpty && places.count == opened.descriptors.count)
        {
            store = TensorStore(model.reader)
            metadata = model.metadata
            layout = GGUFTranslation.layout
            warnings = model.warnings
        } else {
            store = TensorStore(chosen)
            metadata = GGUFMetadata(opened.metadata)
            layout = options.blocks == nil ? nil : Self.layout
            warnings = [
                Warning(
                    FormatWarning.unknownModel,
                    "the names of the tensors stay as they are, and llama.cpp will not know the model: \(folder.string) holds "
                        + "no config.json of LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM or Qwen3ForCausalLM"
                )
            ]
        }
        self.warnings = notes + warnings
        self.options = options
        self.options.selection = TensorSelection()
        self.options.lost = []
        self.options.renames = []
        self.options.modelLayout = layout
        for entry in options.metadata { try metadata.set(entry, file: opened.path) }
    }

    /// Blocks where they fill the rows of a matrix, whatever it is called; other tensors keep their type.
    @Sendable private static func layout(of tensor: TensorDescriptor, wanted: ElementLayout) -> ElementLayout {
        let fits = tensor.shape.rank > 1 && (tensor.shape.dims.last ?? 1) % wanted.unit.elements == 0
        return fits ? wanted : tensor.layout
    }

    /// The layout with the most bytes.
    private static func mainLayout(of reader: any CheckpointReader) -> ElementLayout {
        var sizes: [ElementLayout: Double] = [:]
        for tensor in reader.descriptors { sizes[tensor.layout, default: 0] += Double(tensor.byteCount) }
        return sizes.max { ($0.value, $0.key.name) < ($1.value, $1.key.name) }?.key ?? .plain(.f32)
    }
}
