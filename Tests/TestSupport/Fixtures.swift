import SystemPackage

/// Files that other software wrote, found from this source file upwards, so that a checkout holds one copy.
public enum Fixtures {
    public static let folder: FilePath = {
        var path = FilePath(#filePath)
        while path.lastComponent?.string != "Tests" { path.removeLastComponent() }
        return path.removingLastComponent().appending("Fixtures")
    }()

    public static func path(_ relative: String) -> FilePath { folder.appending(relative) }
}
