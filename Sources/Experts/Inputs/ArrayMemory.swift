import Glibc
import Reporting
import TensorCore
import Work

/// Makes sure that there is room for an array: Swift ends the process where an array does not fit into memory.
///
/// - Throws: `IOError` `io.memory` with the number of bytes.
func requireMemory<T>(count: Int, of type: T.Type) throws(IOError) {
    let (byteCount, overflow) = count.multipliedReportingOverflow(by: MemoryLayout<T>.stride)
    guard byteCount > 0 || overflow else { return }
    let room =
        overflow ? MAP_FAILED : mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let room, room != MAP_FAILED else {
        throw IOError(
            kind: .memory, message: "there is no memory for \(count) numbers", file: nil,
            hint: "use less data at a time")
    }
    munmap(room, byteCount)
}

extension Context {
    /// Makes sure that inputs that are kept in memory fit into what is allowed, before they are made.
    ///
    /// - Parameter inputs: what they are, at the beginning of the message.
    /// - Throws: `IOError` `io.memory` with both numbers.
    func requireRoom(for inputs: String, count: Int, byteCountEach: Int) throws(IOError) {
        let (byteCount, overflow) = count.multipliedReportingOverflow(by: byteCountEach)
        guard let memory, overflow || byteCount > memory else { return }
        throw IOError(
            kind: .memory,
            message: "\(inputs) take \(ByteSize(overflow ? .max : byteCount)), but \(ByteSize(memory)) are allowed",
            file: nil,
            hint: "take fewer of them, or raise --memory")
    }
}
