import Glibc

/// What the machine's processor can do.
package enum Processor {
    /// The vector instructions that this program and the libraries under it choose their loops by, as Linux calls them.
    package static var features: [String] {
        let known: Set<Substring> = [
            "sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512_bf16", "amx_bf16",
            "sha_ni",
            "asimd", "sve", "bf16", "sha2",
        ]
        guard let file = fopen("/proc/cpuinfo", "re") else { return [] }
        defer { fclose(file) }
        var line: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { free(line) }
        while getline(&line, &capacity, file) > 0 {
            guard let text = line.map({ String(cString: $0) }), text.hasPrefix("flags") || text.hasPrefix("Features")
            else { continue }
            return text.split(whereSeparator: \.isWhitespace).filter(known.contains).map(String.init)
        }
        return []
    }
}
