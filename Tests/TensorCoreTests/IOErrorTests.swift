import SystemPackage
import TensorCore
import Testing

@Suite struct IOErrorTests {
    /// What the system's numbers mean to people; every kind but `space`, `notAFile` and `changed`, which are found out without a number.
    @Test(
        arguments: [
            (.noSuchFileOrDirectory, "io.not_found"), (.permissionDenied, "io.permission"),
            (.notPermitted, "io.permission"), (.readOnlyFileSystem, "io.permission"), (.noSpace, "io.disk_full"),
            (.diskQuotaExceeded, "io.disk_full"), (.fileExists, "io.exists"), (.noMemory, "io.memory"),
            (.isDirectory, "io.is_directory"), (.ioError, "io.failed"),
        ] as [(Errno, String)])
    func numbersOfTheSystemHaveCodes(errno: Errno, code: String) {
        let error = IOError(errno, action: "read x", path: "x")
        #expect(error.code == code && error.file == "x")
        #expect(error.severity == (code == "io.not_found" ? .badInput : .resources))
    }

    @Test func codesBeginWithTheirModule() {
        for kind in IOError.Kind.allCases {
            #expect(IOError(kind: kind, message: "", file: nil).code == "io.\(kind.rawValue)")
        }
    }
}
