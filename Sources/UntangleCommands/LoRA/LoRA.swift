import ArgumentParser

/// What is done with adapters.
struct LoRA: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lora",
        abstract: "Fold LoRA adapters into models, extract and merge them.",
        discussion: """
            An adapter is a folder as PEFT writes it, with adapter_config.json and adapter_model.safetensors or .bin, or a file \
            with the names of kohya's trainers or of diffusers. Wherever a command or a recipe takes a checkpoint, BASE+ADAPTER \
            stands for the base with the adapter folded in.

            Example:
              untangle lora fold Fixtures/conformance/good/lora/plain/base.safetensors \\
                Fixtures/conformance/good/lora/plain --output folded.safetensors
            """,
        subcommands: [Fold.self, Extract.self, Merge.self])
}
