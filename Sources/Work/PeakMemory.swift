import Glibc

/// The most memory that the process held at a time, mapped files among it, since the count was last begun anew.
public enum PeakMemory {
    /// Begins to count anew, where the kernel lets a process do so.
    public static func reset() {
        guard let file = fopen("/proc/self/clear_refs", "we") else { return }
        // 5 sets the high-water mark to what is resident now; see proc(5).
        fputs("5", file)
        fclose(file)
    }

    /// Bytes; nil where the kernel does not tell.
    public static var byteCount: Int? {
        guard let file = fopen("/proc/self/status", "re") else { return nil }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        while fgets(&line, Int32(line.count), file) != nil {
            let words = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
                .split { $0 == " " || $0 == "\t" }
            if words.first == "VmHWM:", words.count > 1, let kibibytes = Int(words[1]) { return kibibytes << 10 }
        }
        return nil
    }
}
