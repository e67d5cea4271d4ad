import Checkpoints
import Recipes
import TensorCore
import Testing
import TestSupport

/// Documents as PyYAML reads them, whose scanner, parser and resolver are not libyaml's: `Fixtures/yaml/make_documents.py`.
@Suite struct YAMLReferenceTests {
    /// Plain scalars that recipes take for other numbers than PyYAML, which goes by YAML 1.1: there, numbers with an exponent need a
    /// point and a sign, those that begin with a zero are octal, and texts if they cannot be.
    private static let otherNumbers: [String: Double] = [
        "1e3": 1000, "1e-3": 0.001, "1.5e3": 1500, "010": 10, "08": 8, "inf": .infinity, "nan": .nan,
    ]
    /// Numbers of YAML 1.1 that recipes do not take: binary ones, with underscores, with sixty as a base, and what is not finite.
    private static let noNumbers: Set<String> = [
        "0b101", "1_000", "1_0.5", "190:20:30", "1:30.5", ".inf", "-.inf", ".Inf", ".nan",
    ]
    /// `yes` in any mixture of cases is true in a recipe.
    private static let otherFlags = ["tRUE": true]

    @Test func agreesWithPyYAML() throws {
        let cases = try JSONDocument.parse(try contents(Fixtures.path("yaml/documents.json"))).array ?? nil
        var count = 0
        for test in try #require(cases) {
            let text = try #require(test["text"]?.string)
            let expected = Array(try #require(test["documents"]?.array))
            let documents: [YAMLNode]
            do throws(YAMLError) { documents = try YAMLComposer.documents(of: text) } catch {
                Issue.record("\(error.problem) in \(text)")
                continue
            }
            var differences = documents.count == expected.count ? [] : ["\(documents.count) documents"]
            for (document, expected) in zip(documents, expected) {
                differences += try self.differences(of: document, from: Array(try #require(expected.array)))
            }
            #expect(differences.isEmpty, "\(differences) in \(text)")
            count += 1
        }
        #expect(count == 350)
    }

    private func differences(of node: YAMLNode, from expected: [JSONValue]) throws -> [String] {
        let place = "\(expected[0].int ?? 0):\(expected[1].int ?? 0)"
        var found: [String] = []
        func compare<Value: Equatable>(_ ours: Value?, _ theirs: Value?, _ what: String) {
            if ours != theirs { found.append("\(what) at \(place): \(ours as Any), not \(theirs as Any)") }
        }
        compare("\(node.position.line):\(node.position.column)", place, "place")
        switch node.content {
        case .scalar(let scalar): found += try differences(of: scalar, from: expected)
        case .sequence(let nodes):
            compare("sequence", expected[2].string, "kind")
            guard let items = expected[3].array.map(Array.init) else { break }
            compare(nodes.count, items.count, "count")
            for (node, item) in zip(nodes, items) {
                found += try differences(of: node, from: Array(try #require(item.array)))
            }
        case .mapping(let entries):
            compare("mapping", expected[2].string, "kind")
            guard let pairs = expected[3].array.map(Array.init) else { break }
            compare(entries.count, pairs.count, "count")
            for (entry, pair) in zip(entries, pairs) {
                let pair = Array(try #require(pair.array)).map { $0.array.map(Array.init) ?? [] }
                compare(
                    "\(entry.position.line):\(entry.position.column)", "\(pair[0][0].int ?? 0):\(pair[0][1].int ?? 0)",
                    "key")
                found += try differences(of: entry.key, from: pair[0])
                found += try differences(of: entry.value, from: pair[1])
            }
            guard expected.count > 4, let merged = expected[4].array else { break }
            let section = try YAMLSection(node, title: "a mapping", file: "f")
            let ours = section.keys.map(\.key).sorted().map { key in
                "\(key) \(section.node(key)?.position.description ?? "")"
            }
            let theirs = merged.map { entry -> String in
                let parts = Array(entry.array!)
                return "\(parts[0].string!) \(TextPosition(line: parts[1].int!, column: parts[2].int!))"
            }
            compare(ours, theirs, "merged")
        }
        return found
    }

    private func differences(of scalar: YAMLScalar, from expected: [JSONValue]) throws -> [String] {
        var found: [String] = []
        if "\(scalar.style)" != expected[2].string { found.append("style \(scalar.style) of \(scalar.text)") }
        if scalar.text != expected[3].string { found.append("text \(scalar.text)") }
        let kind = expected[4].string ?? expected[4].array.map(Array.init)?[0].string
        let value = expected[4].array.map(Array.init)?[1]
        if scalar.isNull != (kind == "null") { found.append("null \(scalar.text)") }
        if scalar.isMergeKey != (kind == "merge") { found.append("merge \(scalar.text)") }
        // What is in quotes is a text for YAML; recipes take it for a number where one is due.
        guard scalar.style == .plain, scalar.tag == nil else { return found }
        let isNumber = kind == "number" && !Self.noNumbers.contains(scalar.text)
        let number = Self.otherNumbers[scalar.text] ?? (isNumber ? value?.double : nil)
        if scalar.number != number, !(scalar.number?.isNaN ?? false && number?.isNaN ?? false) {
            found.append("number \(scalar.number as Any) of \(scalar.text), not \(number as Any)")
        }
        let flag = Self.otherFlags[scalar.text] ?? (kind == "bool" ? value?.bool : nil)
        if scalar.flag != flag { found.append("flag \(scalar.flag as Any) of \(scalar.text)") }
        return found
    }
}
