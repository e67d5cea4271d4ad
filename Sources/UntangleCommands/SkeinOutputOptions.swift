import ArgumentParser
import Checkpoints
import Reporting
import SystemPackage
import TensorCore

/// How a .skein file is written.
struct SkeinOutputOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "skein: store differences to this checkpoint, unless --store is given, and say how many tensors gain. "
                + "Also the base of an INPUT that was "
                + "stored so (default: the recorded name, beside INPUT).", valueName: "checkpoint"))
    var base: CheckpointSource?

    @Flag(help: "skein: store tensors as they are, so that they can be mapped.")
    var store = false

    @Option(help: ArgumentHelp("skein: how hard to compress: fast, default or max.", valueName: "level"))
    var level: SkeinLevel?

    @Option(
        help: ArgumentHelp(
            "skein: tensor data in a chunk, a power of two from 128KiB to 16MiB (default: 1MiB).", valueName: "size"))
    var chunkSize: ByteSize?

    func validate() throws {
        if store, level != nil || chunkSize != nil {
            throw ValidationError("--store does not compress, so it excludes --level and --chunk-size")
        }
        if let size = chunkSize?.byteCount, !SkeinOptions.isChunkByteCount(size) {
            throw ValidationError("--chunk-size takes a power of two from 128KiB to 16MiB")
        }
    }

    /// What the options mean for an output of a format.
    ///
    /// - Parameter base: where the base is, if one is given.
    /// - Throws: `UsageError` when they are given for another format; the errors of opening the base.
    func options(
        for format: FormatID?, input: any CheckpointReader, base: FilePath?, threads: Int, memoryByteCount: Int
    ) throws -> SkeinOptions {
        guard format == .skein else {
            let given = [("store", store), ("level", level != nil), ("chunk-size", chunkSize != nil)].filter(\.1)
            try CheckpointFormat.require(given.map(\.0), forOutput: format)
            if base != nil, input.format != .skein {
                throw UsageError(
                    "--base is for .skein files, and neither input nor output is one", hint: "end the output in .skein")
            }
            return SkeinOptions()
        }
        if store, base != nil, (input as? SkeinReader)?.baseFileName == nil {
            throw UsageError(
                "--store stores no differences, and the input needs no base", hint: "leave out --base or --store")
        }
        // What is recorded of a base is what is stored.
        var reading = ReadOptions(threads: threads)
        reading.keepsParts = true
        var options = SkeinOptions(
            level: level ?? .default, isStored: store,
            chunkByteCount: chunkSize?.byteCount ?? SkeinOptions.defaultChunkByteCount,
            base: try store ? nil : base.map { try TensorStore(opening: $0, options: reading) },
            threads: threads)
        options.waitingByteLimit = min(options.waitingByteLimit, memoryByteCount / 4)
        return options
    }
}

extension SkeinLevel: ExpressibleByArgument {}
