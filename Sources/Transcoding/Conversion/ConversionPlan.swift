import Checkpoints
import Kernels
import SystemPackage
import TensorCore
import Work

/// What a conversion does besides copying.
public struct ConversionOptions: Sendable {
    public var selection: TensorSelection
    /// Tensors that cannot be read and are left out.
    public var lost: Set<TensorName>
    /// Applied one after the other to every selected name.
    public var renames: [TensorRename]
    /// The type to cast floating-point tensors to; nil keeps every type.
    public var dtype: DType?
    /// The blocks to store floating-point tensors in, instead of a type; nil makes none.
    public var blocks: BlockType?
    /// The layout in which a format stores a tensor of numbers that is wanted in another; nil stores all as they are wanted.
    public var modelLayout: (@Sendable (TensorDescriptor, ElementLayout) -> ElementLayout)?
    /// For NumPy outputs: widen the floating-point types that NumPy does not know to F32.
    public var upcast: Bool
    /// Entries that are added to the metadata or replace it, in order.
    public var metadata: [Metadata.Entry]

    public init(
        selection: TensorSelection = TensorSelection(), lost: Set<TensorName> = [], renames: [TensorRename] = [],
        dtype: DType? = nil, blocks: BlockType? = nil,
        upcast: Bool = false, metadata: [Metadata.Entry] = []
    ) {
        self.selection = selection
        self.lost = lost
        self.renames = renames
        self.dtype = dtype
        self.blocks = blocks
        self.upcast = upcast
        self.metadata = metadata
    }

    /// What floating-point tensors are stored as; nil keeps every type.
    public var layout: ElementLayout? { blocks.map(ElementLayout.blocks) ?? dtype.map(ElementLayout.plain) }

    /// The tensors that are selected and not lost, by their places in a checkpoint, with their new names; and what is warned of for
    /// rules that change none.
    ///
    /// - Throws: `convert.duplicate_name` when two tensors would have one name, `convert.nothing_selected` when patterns leave no
    ///   tensor; `RenameError` `usage.rename`.
    func chosen(
        of reader: any CheckpointReader
    ) throws -> (tensors: [(place: Int, name: TensorName)], warnings: [Warning]) {
        let file = reader.path.string
        let sources = reader.descriptors.enumerated().filter {
            selection.contains($0.element.name) && !lost.contains($0.element.name)
        }
        if sources.isEmpty, !reader.descriptors.allSatisfy({ lost.contains($0.name) }) {
            throw ConversionError.input(
                "nothing_selected", "no tensor of \(file) is selected", file: file,
                hint: "see the names with `untangle inspect`, and quote patterns such as 'layers.*'")
        }
        let renaming = Renaming(renames)
        let renamed = try renaming.names(of: sources.map(\.element.name)) { collision in
            ConversionError.input(
                "duplicate_name", collision.message, file: file, tensor: collision.second,
                hint: "change the --rename and --map rules or exclude one of them")
        }
        return (
            zip(sources, renamed.names).map { ($0.offset, $1) },
            sources.isEmpty ? [] : renaming.warnings(unusedBut: renamed.usedRules)
        )
    }
}

/// A conversion with every name, type and size worked out; nothing has been read or written yet.
public struct ConversionPlan: Sendable {
    /// One tensor on its way.
    public struct Item: Sendable {
        /// Its position in the input.
        public let sourceIndex: Int
        public let source: TensorDescriptor
        public let target: TensorDescriptor
    }

    /// The tensors in the order of the input.
    public let items: [Item]
    public let metadata: Metadata
    public let target: OutputTarget
    public let options: ConversionOptions
    public let warnings: [Warning]

    /// The bytes to be read; progress counts up to this.
    public let sourceByteCount: Int

    /// The bytes of the result's tensors; `Int.max` stands for more.
    public let targetByteCount: Int

    /// Works out a conversion.
    ///
    /// - Throws: `ConversionError`: `usage.dtype`;
    ///   `convert.nothing_selected` when patterns leave no tensor, `convert.duplicate_name` when two tensors would have
    ///   one name, `convert.overflow`, `convert.bad_shape` for what fills no whole blocks; `WeightsError` `input.quantized` when a part of a quantised tensor would be cast; `RenameError` `usage.rename`.
    public init(of store: TensorStore, to target: OutputTarget, options: ConversionOptions = ConversionOptions()) throws
    {
        guard let writer = CheckpointFormat.of(target.format).writer else {
            preconditionFailure("an output has a format that is written")
        }
        try Self.checkLayout(options, writer)
        var warnings = store.reader.warnings
        let chosen = try options.chosen(of: store.reader)
        warnings += chosen.warnings
        let layouts = chosen.tensors.map { index, _ in
            Self.targetLayout(of: store.descriptors[index], writer: writer, options: options, warnings: &warnings)
        }
        try Self.checkParts(of: store, zip(chosen.tensors, layouts).map { (store.descriptors[$0.place], $1) }, options)
        var items: [Item] = []
        var (sourceByteCount, targetByteCount) = (0, 0)
        for ((index, name), layout) in zip(chosen.tensors, layouts) {
            let source = store.descriptors[index]
            let target: TensorDescriptor
            do throws(DescriptorError) {
                target = try TensorDescriptor(name: name, layout: layout, shape: source.shape)
            } catch {
                throw ConversionError(error, of: source, as: layout, file: store.path)
            }
            items.append(Item(sourceIndex: index, source: source, target: target))
            sourceByteCount = Self.sum(sourceByteCount, source.byteCount)
            targetByteCount = Self.sum(targetByteCount, target.byteCount)
        }
        var metadata = store.metadata
        for entry in options.metadata { metadata[entry.key] = entry.value }
        if !writer.keepsMetadata, !metadata.isEmpty {
            warnings.append(
                Warning(
                    ConversionWarning.metadataDropped,
                    "NumPy files have no place for metadata; \(metadata.entries.count) entries are dropped"))
        }
        self.items = items
        self.metadata = metadata
        self.target = target
        self.options = options
        self.warnings = warnings
        self.sourceByteCount = sourceByteCount
        self.targetByteCount = targetByteCount
    }

    private static func sum(_ a: Int, _ b: Int) -> Int {
        let (sum, overflow) = a.addingReportingOverflow(b)
        return overflow ? Int.max : sum
    }

    /// Codes without their scales are other numbers, and so are scales that were rounded.
    ///
    /// - Throws: `input.quantized` when a part of a quantised tensor would be cast, or codes would lose another part.
    private static func checkParts(
        of store: TensorStore, _ chosen: [(source: TensorDescriptor, layout: ElementLayout)],
        _ options: ConversionOptions
    ) throws(WeightsError) {
        guard let quantization = Quantization(of: store) else { return }
        if let (codes, part) = quantization.leftBehind(taking: options.selection.contains) {
            throw .quantized(
                store.path.string, quantization, parts: [codes], file: store.path,
                problem: "it means nothing without \"\(part)\", which is not selected",
                hint: WeightsError.remedy(for: store) ?? "select all parts of a weight, or none")
        }
        let parts = chosen.filter { quantization.parts.contains($0.source.name) }
        guard parts.contains(where: { $0.source.layout != $0.layout }) else { return }
        throw .quantized(
            store.path.string, quantization, parts: parts.map(\.source.name), file: store.path,
            problem: "casting them one by one would change what they stand for", hint: WeightsError.remedy(for: store))
    }

    /// Makes sure that the output can have the type that is asked for.
    private static func checkLayout(
        _ options: ConversionOptions, _ writer: CheckpointFormat.Writer
    ) throws(ConversionError) {
        switch options.layout {
        case .plain(let dtype)? where !dtype.isCastTarget:
            throw .usage(
                "dtype", "cannot cast to \(dtype.rawValue)",
                hint: "--dtype takes F16, BF16, F32, F64, F8_E4M3 or F8_E5M2")
        case .blocks(let type)? where !type.isEncodable:
            throw .usage("dtype", "cannot quantise to \(type.rawValue)", hint: "of blocks --dtype takes Q8_0")
        case .blocks(let type)? where !writer.holds(.blocks(type)):
            throw .usage("dtype", "only .gguf outputs hold \(type.rawValue)", hint: "end the output in .gguf")
        default: break
        }
    }

    private static func targetLayout(
        of source: TensorDescriptor, writer: CheckpointFormat.Writer, options: ConversionOptions,
        warnings: inout [Warning]
    ) -> ElementLayout {
        if let model = options.modelLayout, source.layout.isPlain, source.dtype.isComputable {
            return model(source, options.layout ?? source.layout)
        }
        if let layout = options.layout, !source.dtype.isInteger, source.layout != layout {
            let dtype = layout.dtype
            if canCast(from: source.dtype, to: dtype) || source.dtype == dtype {
                return layout.isPlain ? .plain(widened(dtype, writer: writer, options: options)) : layout
            }
            warnings.append(
                Warning(
                    ConversionWarning.keptType,
                    "tensor \"\(source.name)\" of dtype \(source.dtype.rawValue) cannot be cast and keeps its type"))
        }
        return source.layout.isPlain
            ? .plain(widened(source.dtype, writer: writer, options: options)) : source.layout
    }

    /// What `--upcast` makes of a type.
    private static func widened(_ dtype: DType, writer: CheckpointFormat.Writer, options: ConversionOptions) -> DType {
        guard options.upcast, dtype.isFloatingPoint, !writer.holds(.plain(dtype)),
            canCast(from: dtype, to: .f32)
        else { return dtype }
        return .f32
    }
}

extension ConversionError {
    /// The error of a tensor that a layout cannot hold.
    fileprivate init(_ error: DescriptorError, of tensor: TensorDescriptor, as layout: ElementLayout, file: FilePath) {
        self =
            switch error {
            case .overflow:
                .input(
                    "overflow", "tensor \"\(tensor.name)\" would be too large as \(layout.name)", file: file.string,
                    tensor: tensor.name)
            case .partialUnit:
                .input(
                    "bad_shape",
                    "tensor \"\(tensor.name)\" of shape \(tensor.shape) does not fill whole units of \(layout.unit.elements) numbers, "
                        + "in which \(layout.name) is stored", file: file.string, tensor: tensor.name)
            }
    }
}
