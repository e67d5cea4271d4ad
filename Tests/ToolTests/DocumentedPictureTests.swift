import Foundation
import TestSupport
import Testing

/// The pictures of docs/reports.md are what the commands beside them draw.
@Suite struct DocumentedPictureTests {
    private static let documents = URL(filePath: Fixtures.folder.removingLastComponent().appending("docs").string)

    /// The commands of docs/reports.md, in its order.
    private func commands() throws -> [String] {
        let page = try String(contentsOf: Self.documents.appending(path: "reports.md"), encoding: .utf8)
        return page.components(separatedBy: "```sh\n").dropFirst().compactMap {
            $0.components(separatedBy: "```").first
        }
    }

    /// The picture of a page below a caption, with its style.
    private func picture(below caption: String, of page: String) throws -> String {
        let style = try #require(page.firstMatch(of: /<style id="pictures">([^<]*)<\/style>/)?.1)
        let figure = try #require(page.firstRange(of: "<figcaption>\(caption)")).upperBound
        let start = try #require(page[figure...].firstRange(of: "<svg")).lowerBound
        let end = try #require(page[start...].firstRange(of: "</svg>\n")).upperBound
        return String(page[start..<end]).replacing(">\n", with: ">\n<style>\(style)</style>\n", maxReplacements: 1)
    }

    /// Numbers may differ by what processors differ in: places by half a pixel, figures by 0.02. `UNTANGLE_DRAW=1` writes the pictures anew.
    @Test(arguments: [("interference", "What each expert alone does"), ("resolve", "What resolving minimises")])
    func isWhatTheCommandDraws(name: String, caption: String) throws {
        let tool = try Tool()
        let command = try #require(try commands().first { $0.hasPrefix("untangle \(name) ") })
        let outcome = try tool.shell(command)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let drawn = try picture(
            below: caption, of: String(decoding: try tool.data("out/\(name).html"), as: UTF8.self))
        let file = Self.documents.appending(path: "pictures/\(name).svg")
        if ProcessInfo.processInfo.environment["UNTANGLE_DRAW"] != nil {
            try drawn.write(to: file, atomically: true, encoding: .utf8)
        }
        let kept = try String(contentsOf: file, encoding: .utf8)
        let number = /\d+(\.\d+)?/
        #expect(drawn.replacing(number, with: "0") == kept.replacing(number, with: "0"))
        for (a, b) in zip(drawn.matches(of: number), kept.matches(of: number)) {
            let (a, b) = (try #require(Double(a.0)), try #require(Double(b.0)))
            #expect(abs(a - b) <= (b < 10 ? 0.02 : 0.5), "\(a) \(b)")
        }
    }
}
