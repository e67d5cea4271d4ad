import ArgumentParser
import Checkpoints
import SystemPackage
import Work

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

extension OutputPlace {
    /// Where a result goes that an argument names.
    ///
    /// - Throws: a usage error for `.` and `..`, which are rarely meant: the model would come to lie among whatever else is there.
    init(argument: String) throws(UsageError) {
        self.init(argument)
        guard argument.hasSuffix("/") || path.lastComponent?.kind ?? .regular == .regular else {
            throw UsageError(
                "the output \(argument) would fill a folder that is there",
                hint: "write \(argument)/ if it is to, or name a folder for the model")
        }
    }
}
