import Checkpoints
import Networks
import SystemPackage
import TensorCore

/// Reads classification heads.
public enum HeadFile {
    /// Reads a head: `weight` `[classes, width]`, optional `bias` `[classes]`, and the optional scalars `logit_scale` (the
    /// factor itself) and `normalize` (not 0: the feature is L2-normalised first, as CLIP does).
    ///
    /// - Parameter name: what errors call the head.
    /// - Throws: `input.*` with file and tensor, `FormatError`, `IOError`.
    public static func load(
        _ path: FilePath, name: String, options: ReadOptions = ReadOptions()
    ) throws -> ClassificationHead {
        let store = try open(path, options: options)
        let (shape, weight) = try store.finiteFloats("weight")
        guard shape.isMatrix, !shape.dims.contains(0) else {
            throw InputError(
                .badShape, "\"weight\" of a head has shape \(shape); [classes, width] is needed, neither of them 0",
                file: path, tensor: "weight")
        }
        let bias = store.index(of: "bias") == nil ? nil : try store.finiteFloats("bias")
        guard bias == nil || bias?.shape == Shape([shape.dims[0]]) else {
            throw InputError(
                .badShape,
                "\"bias\" has shape \(bias?.shape ?? Shape([])), but \"weight\" has shape \(shape): \(shape.dims[0]) classes",
                file: path, tensor: "bias", hint: "the weight of a head is [classes, width]")
        }
        let scale = try scalar("logit_scale", in: store) ?? 1
        let normalize = try scalar("normalize", in: store) ?? 0
        do throws(NetworkError) {
            return try ClassificationHead(
                name: name, weight: weight, classCount: shape.dims[0], bias: bias?.values, logitScale: scale,
                normalizesFeature: normalize != 0)
        } catch {
            throw InputError(.badValue, error.message, file: path, hint: error.hint)
        }
    }

    /// Opens the file of a head.
    ///
    /// - Throws: `input.missing_tensor` that says what the file holds instead; `FormatError`, `IOError`.
    package static func open(_ path: FilePath, options: ReadOptions = ReadOptions()) throws -> TensorStore {
        let store = try TensorStore(opening: path, options: options)
        guard store.index(of: "weight") == nil else { return store }
        let kind = InputKind(of: store)
        guard case .unknown = kind else {
            throw InputError(
                .missingTensor, "\(path.string) holds \(kind.text), and a head is needed: \"weight\" [classes, width]",
                file: path, tensor: "weight", hint: extraction(from: store) ?? InputKind.swapHint)
        }
        throw InputError(
            .missingTensor, "\(path.string) has no tensor \"weight\" [classes, width], which a head is", file: path,
            tensor: "weight",
            hint: extraction(from: store)
                ?? nearestName(to: "weight", among: store.descriptors.map(\.name.text)).map {
                    "did you mean \"\($0)\"?"
                })
    }

    /// The command that takes the head out of a whole model, where there is one under a usual name.
    private static func extraction(from store: TensorStore) -> String? {
        let modules = ["head", "classifier", "fc", "heads.head", "visual_projection"]
        guard
            let module = modules.first(where: {
                store.descriptor(named: TensorName($0 + ".weight"))?.shape.isMatrix == true
            })
        else { return nil }
        let pattern = module.split(separator: ".").joined(separator: #"\."#)
        return "its head is got with `untangle convert \(store.path.string) head.safetensors --only '\(module).*' "
            + "--rename '^\(pattern)\\.=>'`"
    }

    private static func scalar(_ name: TensorName, in store: TensorStore) throws -> Float? {
        guard let descriptor = store.descriptor(named: name) else { return nil }
        guard descriptor.elementCount == 1 else {
            throw InputError(
                .badShape, "\"\(name)\" has shape \(descriptor.shape); one number is needed", file: store.path,
                tensor: name)
        }
        if descriptor.dtype.isComputable { return try store.finiteFloats(name).values[0] }
        return Float(try store.integers(name).values[0])
    }
}
