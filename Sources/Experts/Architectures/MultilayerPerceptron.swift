import Checkpoints
import Networks
import TensorCore

extension Architecture {
    /// Plain stacks of linear layers over the numbers of an image, by the names that PyTorch's containers give them: a list of layers, a
    /// `Sequential` with activations between, or activations and dropout, the same behind a `Flatten`, and attributes `fc1`, `fc2`. Other
    /// tensors in or beside such a container, as those of a norm, make it something else.
    ///
    /// The configuration is this tool's: `model_type` is `mlp`, which alone tells such names from anybody else's; `hidden_act` (`relu`),
    /// `image_size` and `num_channels` (1); `num_hidden_layers` where the last layers are the classifier, which stays as it is.
    static let perceptrons = [
        perceptron("N", first: 0, step: 1), perceptron("N", first: 0, step: 2), perceptron("N", first: 1, step: 2),
        perceptron("N", first: 0, step: 3), perceptron("N", first: 1, step: 3), perceptron("fcN", first: 1, step: 1),
    ]

    private static func perceptron(_ pattern: String, first: Int, step: Int) -> Architecture {
        @Sendable func weight(_ layer: Int) -> String {
            ModelTensors.numbered(pattern, first + step * layer) + ".weight"
        }
        var rule = BindingRule.module("layers.N", pattern)
        (rule.first, rule.step) = (first, step)
        return Architecture(
            name: "a multilayer perceptron", marks: [weight(0), weight(1)], modelTypes: ["mlp"], needsModelType: true,
            hasAnybodysNames: true, rules: [rule], interior: ["../"], idle: [pattern + ".weight", pattern + ".bias"],
            foreignTensorHint: "take the layers out with `untangle convert --only`, if it is no part of the network",
            network: { files, tensors in
                let keys = files.main
                let found = (0...).prefix { tensors.has(weight($0)) }.count
                let count = try keys.integer("num_hidden_layers", else: found)
                guard 1...found ~= count else {
                    throw InputError(
                        .badConfig, "\(keys.file.string) says \(count) layers, but the checkpoint has \(found)",
                        file: keys.file, tensor: tensors.name(weight(max(0, min(count, found)))))
                }
                let channels = try keys.integer("num_channels", else: 1)
                let numbers = tensors.size(weight(0), 1, rank: 2)
                let side = ModelTensors.imageSide(
                    patches: numbers.flatMap { channels > 0 && $0 % channels == 0 ? $0 / channels : nil }, patch: 1)
                guard let size = try keys.size("image_size") ?? side.map({ (height: $0, width: $0) }) else {
                    throw keys.missing("image_size")
                }
                guard min(channels, size.height, size.width) > 0 else {
                    throw InputError(.badConfig, "image_size and num_channels must be positive", file: keys.file)
                }
                let biases = (0..<count).map { ModelTensors.numbered(pattern, first + step * $0) + ".bias" }
                let hasBias = tensors.has(biases[0])
                if let odd = biases.first(where: { tensors.has($0) != hasBias }) {
                    throw InputError(
                        .badConfig,
                        "\(tensors.store.path.string) has biases in some layers and not in others, such as \"\(tensors.name(odd))\"",
                        file: tensors.store.path, tensor: tensors.name(odd), hint: anyModelHint)
                }
                return try Perceptron(
                    PerceptronConfig(
                        image: ImageShape(channels: channels, height: size.height, width: size.width),
                        layerSizes: (0..<count).map { tensors.size(weight($0), 0, rank: 2) ?? 0 },
                        activation: try keys.activation("hidden_act", else: .relu),
                        // What the next layer takes.
                        activatesFeature: count < found,
                        hasBias: hasBias))
            })
    }
}
