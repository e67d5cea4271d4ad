import ArgumentParser
import Checkpoints

/// How outputs are written.
struct OutputOptions: ParsableArguments {
    @Flag(help: "Replace an existing file; of a link, the link and not what it points to.")
    var force = false

    @Flag(help: "Do not wait until the output has reached the disk.")
    var noSync = false

    func writeOptions(shardByteCount: Int? = nil, skein: SkeinOptions = SkeinOptions()) -> WriteOptions {
        WriteOptions(force: force, sync: !noSync, shardByteCount: shardByteCount, skein: skein)
    }
}
