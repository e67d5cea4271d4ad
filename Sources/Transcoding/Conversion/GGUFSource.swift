import Checkpoints
import SystemPackage
import TensorCore

/// A checkpoint on its way into a GGUF file: under the names there, with the metadata that the file is to have.
public struct GGUFSource: Sendable {
    public let store: TensorStore
    public private(set) var metadata: GGUFMetadata
    public let warnings: [Warning]
    /// How a tensor is stored that is wanted in a layout, where llama.cpp has rules for it; nil stores all as they are wanted.
    public let layout: (@Sendable (TensorDescriptor, ElementLayout) -> ElementLayout)?

    /// Prepares a checkpoint that was opened as it is stored.
    ///
    /// A GGUF file keeps its blocks, unless a type is asked for, and its metadata with their types. The metadata of a model of
    /// transformers come from the configuration and the tokenizer beside it.
    ///
    /// - Parameters:
    ///   - options: what is selected, under the names that the tensors have in the input; the type that is asked for.
    ///   - folder: where the configuration lies.
    /// - Throws: `FormatError` when a tensor has no name in GGUF or another shape than the configuration says; `IOError` when there
    ///   is no memory.
    public init(_ opened: TensorStore, folder: FilePath, options: ConversionOptions) throws {
        let chosen = Self.selected(opened.reader, options)
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
            chosen, folder: folder, layout: options.layout ?? Self.mainLayout(of: chosen))
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
        self.warnings = warnings
        for entry in options.metadata { try metadata.set(entry, file: opened.path) }
    }

    /// Blocks where they fill the rows of a matrix, whatever it is called; other tensors keep their type.
    @Sendable private static func layout(of tensor: TensorDescriptor, wanted: ElementLayout) -> ElementLayout {
        let fits = tensor.shape.rank > 1 && (tensor.shape.dims.last ?? 1) % wanted.unit.elements == 0
        return fits ? wanted : tensor.layout
    }

    /// The tensors that are selected and not lost, by their names in the input; all when there is none, which the plan tells of.
    private static func selected(
        _ reader: any CheckpointReader, _ options: ConversionOptions
    ) -> any CheckpointReader {
        let chosen = reader.descriptors.enumerated().filter {
            options.selection.contains($0.element.name) && !options.lost.contains($0.element.name)
        }
        if chosen.isEmpty || chosen.count == reader.descriptors.count { return reader }
        return CheckpointView(reader, showing: chosen.map { ($0.offset, $0.element.name) })
    }

    /// The layout with the most bytes.
    private static func mainLayout(of reader: any CheckpointReader) -> ElementLayout {
        var sizes: [ElementLayout: Double] = [:]
        for tensor in reader.descriptors { sizes[tensor.layout, default: 0] += Double(tensor.byteCount) }
        return sizes.max { ($0.value, $0.key.name) < ($1.value, $1.key.name) }?.key ?? .plain(.f32)
    }
}
