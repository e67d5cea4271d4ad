import Interference
import TensorCore
import TestSupport
import Testing

@Suite("the pages about resolving") struct ResolverOptionPageTests {
    private func page(_ name: String) throws -> String {
        let file = try MappedFile(Fixtures.folder.removingLastComponent().appending("docs").appending(name))
        return file.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    }

    @Test("list the options with the defaults and words of their declaration", arguments: ResolverOption.all)
    func rows(_ option: ResolverOption) throws {
        var help = option.help
        if case .choice(let names, _, _) = option.kind {
            let quoted = names.map { "`\($0)`" }
            help += ": \(quoted.dropLast().joined(separator: ", ")) or \(quoted[quoted.count - 1])"
        }
        #expect(try page("recipes.md").contains("| `\(option.name)` | \(option.defaultText) | \(help) |\n"))
        let flag = option.name.split(separator: "_").joined(separator: "-")
        #expect(try page("interference.md").contains("`--\(flag)`"))
    }
}
