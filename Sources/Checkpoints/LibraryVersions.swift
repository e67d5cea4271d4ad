import CArchive
internal import CCrypto
internal import CXXHash
internal import CZstd

/// The versions of the libraries that files are read and written with, as they are at run time.
package var checkpointLibraryVersions: [(name: String, version: String)] {
    let archive = String(cString: archive_version_string())
    let hash = XXH_versionNumber()
    return [
        ("libarchive", archive.split(separator: " ").last.map(String.init) ?? archive),
        ("libcrypto", String(cString: OpenSSL_version(OPENSSL_VERSION_STRING))),
        ("libxxhash", "\(hash / 10_000).\(hash / 100 % 100).\(hash % 100)"),
        ("libzstd", String(cString: ZSTD_versionString())),
    ]
}
