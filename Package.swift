// swift-tools-version: 6.2
import PackageDescription

/// A library target of the package with its test target's name derived from it.
func library(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: "\(name)Tests", dependencies: [.init(stringLiteral: name), "TestSupport"] + dependencies)
}

let filePaths = Target.Dependency.product(name: "SystemPackage", package: "swift-system")

let package = Package(
    name: "Untangle",
    products: [
        .executable(name: "untangle", targets: ["untangle"]),
        .library(
            name: "Untangle",
            targets: [
                "TensorCore", "Kernels", "Checkpoints", "Reporting", "Analysis", "Merging", "Networks", "Interference",
                "Work", "Transcoding", "ModelFolders", "Images", "Tokenization", "Experts", "Recipes", "Workflow",
            ]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", .upToNextMinor(from: "1.8.2")),
        .package(url: "https://github.com/apple/swift-system", .upToNextMinor(from: "1.8.1")),
    ],
    targets: [
        // System libraries, found through pkg-config; CLinux is what the C library has but does not show to Swift.
        .systemLibrary(name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
        .systemLibrary(name: "CArchive", pkgConfig: "libarchive", providers: [.apt(["libarchive-dev"])]),
        .systemLibrary(name: "CLinux"),
        .systemLibrary(name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .systemLibrary(name: "CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),
        .systemLibrary(name: "CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
        .systemLibrary(name: "COniguruma", pkgConfig: "oniguruma", providers: [.apt(["libonig-dev"])]),
        .systemLibrary(name: "CUTF8Proc", providers: [.apt(["libutf8proc-dev"])]),
        .systemLibrary(name: "CJPEG", pkgConfig: "libjpeg", providers: [.apt(["libjpeg62-turbo-dev"])]),
        .systemLibrary(name: "CPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"])]),
        .systemLibrary(name: "CWebP", pkgConfig: "libwebpdemux", providers: [.apt(["libwebp-dev"])]),

        // Libraries, lowest first. docs/architecture.md draws the arrows.
        library("TensorCore", ["CLinux", filePaths]),
        .target(name: "CKernels"),
        library("Kernels", ["TensorCore", "COpenBLAS", "CKernels"]),
        library(
            "Checkpoints",
            ["TensorCore", "CKernels", "Kernels", "CArchive", "CCrypto", "CLinux", "CZstd", "CXXHash", filePaths]),
        .target(name: "CPictures", dependencies: ["CJPEG", "CPNG", "CWebP"]),
        library("Images", ["TensorCore", "CKernels", "CPictures"]),
        library("Tokenization", ["TensorCore", "Checkpoints", "COniguruma", "CUTF8Proc", filePaths]),
        library("Networks", ["TensorCore", "CKernels", "Kernels"]),
        library("Interference", ["TensorCore", "Kernels", "Networks"]),
        library("Analysis", ["TensorCore", "Kernels", "Checkpoints"]),
        library("Merging", ["TensorCore", "Kernels", "Checkpoints", "Reporting"]),
        library("Reporting", ["TensorCore"]),
        library("Work", ["TensorCore", "Kernels", "Checkpoints", "Reporting", filePaths]),
        library("Transcoding", ["TensorCore", "Kernels", "Checkpoints", "Reporting", "Work", filePaths]),
        library("ModelFolders", ["TensorCore", "Kernels", "Checkpoints", "Merging", "Reporting", "Work", filePaths]),
        library(
            "Experts",
            [
                "TensorCore", "Kernels", "Checkpoints", "CArchive", "Images", "Tokenization", "Networks",
                "Interference",
                "Reporting", "ModelFolders", "Work", filePaths,
            ]),
        library(
            "Recipes",
            [
                "TensorCore", "Checkpoints", "Merging", "Interference", "Work", "ModelFolders", "Experts", "CYAML",
                filePaths,
            ]),
        library(
            "Workflow",
            [
                "TensorCore", "Kernels", "Checkpoints", "Analysis", "Merging", "Networks", "Interference", "Reporting",
                "Work",
                "Transcoding", "ModelFolders", "Experts", "Recipes", filePaths,
            ]),

        // The tool and its benchmarks.
        .target(
            name: "UntangleCommands",
            dependencies: [
                "TensorCore", "Kernels", "Checkpoints", "Analysis", "Merging", "Networks", "Interference", "Reporting",
                "Work", "Transcoding", "Tokenization", "ModelFolders", "Experts", "Recipes", "Workflow", filePaths,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        .executableTarget(name: "untangle", dependencies: ["UntangleCommands"]),
        .executableTarget(
            name: "untangle-bench",
            dependencies: [
                "TensorCore", "Kernels", "Checkpoints", "Analysis", "Merging", "Networks", "Interference", "Work",
                "Transcoding", "Images", "Tokenization", "Experts", "Workflow", "CJPEG", "CPictures", "CZstd",
            ]),

        // Tests.
        .target(
            name: "TestSupport", dependencies: ["TensorCore", "Checkpoints", filePaths], path: "Tests/TestSupport"),
        tests("TensorCore", []),
        tests("Kernels", ["TensorCore"]),
        tests("Checkpoints", ["TensorCore"]),
        tests("Tokenization", ["TensorCore", "Checkpoints", filePaths]),
        tests("Analysis", ["TensorCore", "Checkpoints", "Kernels", filePaths]),
        tests("Merging", ["TensorCore", "Checkpoints", "Kernels", "Reporting", filePaths]),
        tests("Images", ["TensorCore", "Checkpoints", filePaths]),
        tests("Networks", ["TensorCore", "Checkpoints", "Kernels"]),
        tests("Interference", ["TensorCore", "Checkpoints", "Networks", "Kernels"]),
        tests("Reporting", ["TensorCore"]),
        tests(
            "Workflow",
            [
                "TensorCore", "Kernels", "Checkpoints", "Analysis", "Networks", "Interference", "Merging", "Reporting",
                "Work", "Transcoding", "ModelFolders", "Experts", "Recipes", "Images", "Tokenization",
                filePaths,
            ]),
        // Runs the built binary, so it depends on it.
        .testTarget(
            name: "ToolTests", dependencies: ["TestSupport", "TensorCore", "Checkpoints", "untangle", filePaths]),
    ],
    swiftLanguageModes: [.v6]
)

// Fuzzers want every module compiled with `--sanitize fuzzer`, which `make fuzz` asks for.
if Context.environment["UNTANGLE_FUZZERS"] != nil {
    package.targets.append(
        .executableTarget(
            name: "untangle-fuzz",
            dependencies: [
                "TensorCore", "Checkpoints", "Images", "Tokenization", "ModelFolders", "Experts", "Recipes", "CXXHash",
                filePaths,
            ]))
}
