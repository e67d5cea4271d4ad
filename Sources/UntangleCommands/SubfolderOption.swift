import ArgumentParser
import Checkpoints
import SystemPackage

/// Where in the folder of a model its checkpoint lies.
struct SubfolderOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Of folders and models of the hub take the checkpoint in this folder of theirs, such as unet of a diffusers pipeline.",
            valueName: "name"),
        transform: { name in
            guard let subfolder = CheckpointSource.subfolder(name) else {
                throw ValidationError("give the path of a folder inside those of the models, such as unet")
            }
            return subfolder
        })
    var subfolder: FilePath?
}
