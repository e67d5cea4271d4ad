import Checkpoints
import Foundation
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// `docs/architecture.md` leads from an argument to the byte, naming types and the files that have them.
@Suite struct ArchitecturePageTests {
    private let root = Fixtures.folder.removingLastComponent()

    private func text(_ path: String) throws -> String {
        String(decoding: try MappedFile(root.appending(path)).withUnsafeBytes(Array.init), as: UTF8.self)
    }

    /// Every `` `Type` (`Path.swift`) `` on the page.
    private func places() throws -> [(type: String, file: String)] {
        let page = try text("docs/architecture.md")
        return page.matches(of: /`(\w+)` \(`([\w\/+]+\.swift)`\)/).map { (String($0.1), String($0.2)) }
    }

    @Test func namesTypesThatAreInTheirFiles() throws {
        let places = try places()
        #expect(places.count >= 30)
        for (type, file) in places {
            guard fileExists(root.appending("Sources/\(file)")) else {
                Issue.record("there is no file \(file)")
                continue
            }
            let declaration = try Regex("(struct|class|enum|protocol|actor) \(type)\\b")
            #expect(try text("Sources/\(file)").contains(declaration), "\(type) is not in \(file)")
        }
    }

    /// It would be loaded whenever the tool starts.
    @Test func noSourceImportsFoundation() throws {
        let sources = root.appending("Sources").string
        let files = try #require(FileManager.default.enumerator(atPath: sources)).compactMap { $0 as? String }
            .filter { $0.hasSuffix(".swift") }
        #expect(files.count > 400)
        for file in files {
            #expect(try !text("Sources/\(file)").contains(/(?m)^(public )?import Foundation/), "\(file)")
        }
    }

    @Test func aWalkHasTenStopsAtMost() throws {
        let page = try text("docs/architecture.md")
        let walks = page.split(separator: "## From argument to byte")[1].split(separator: "\n## ")[0].split(
            separator: "\n**")
        #expect(walks.count == 4)
        for walk in walks.dropFirst() {
            let stops = walk.split(separator: "\n").count { $0.first?.isNumber ?? false }
            #expect((5...10).contains(stops), "\(walk.prefix(40))")
        }
    }
}
