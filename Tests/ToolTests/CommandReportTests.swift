import Foundation
import Testing

/// `--report` of the commands that work on checkpoints: the document, the tables and the words of the terminal, of one run.
@Suite struct CommandReportTests {
    private let tool: Tool

    /// `a` and `b` differ in the second element of `x`, by 2, and in the shape of `z`; each has a tensor that the other lacks.
    init() throws {
        tool = try Tool()
        try tool.write(
            "a.safetensors",
            [StoredTensor("x", [2], [1, 2]), StoredTensor("z", [2, 1], [0, 0]), StoredTensor("m.<left>", [1], [5])])
        try tool.write(
            "b.safetensors",
            [StoredTensor("x", [2], [1, 4]), StoredTensor("z", [2], [0, 0]), StoredTensor("right", [1], [5])])
    }

    private func text(_ name: String) throws -> String { String(decoding: try tool.data(name), as: UTF8.self) }

    /// A page without the line breaks between its elements.
    private func html(_ name: String) throws -> String { try text(name).replacing(">\n", with: ">") }

    /// Runs with a report in every format, and makes sure that the one in JSON is what `--json` prints.
    private func report(_ arguments: String..., status: Int32 = 0) throws -> (csv: String, html: String, md: String) {
        let reports = ["r.csv", "r.html", "r.md", "r.json"].flatMap { ["--report", $0] }
        let outcome = try tool.run(arguments + reports + ["--json", "--quiet"])
        #expect(outcome.status == status, "\(outcome.errors)")
        #expect(try text("r.json") == outcome.output)
        return try (text("r.csv"), html("r.html"), text("r.md"))
    }

    /// The root of the mean of 0 and 4 is the root of 2.
    @Test func diffHasChangesAndWhatIsMissing() throws {
        let report = try report("diff", "a.safetensors", "b.safetensors", status: 1)
        #expect(
            report.csv == """
                facts
                key,value
                equal,false
                only_in_a,m.<left>
                only_in_b,right

                changed
                name,dtype,shape,max_abs,rms,differing
                x,F32;F32,2;2,2.0,1.4142135623730951,1
                z,F32;F32,2 1;2,,,

                not_finite
                model,file,tensor,nan,inf

                """)
        #expect(report.html.contains("<p class=\"lines\">only in a.safetensors:\n  m.&lt;left&gt;</p>"))
        #expect(report.html.contains("<tr><td>z</td><td>F32</td><td>[2, 1] -&gt; [2]</td>"))
        #expect(
            report.html.contains(
                "<p class=\"lines\">2 tensors compared, 2 changed, 1 only in the first, 1 only in the second</p>"))
        #expect(report.md.contains("\n\n    only in b.safetensors:\n      right\n\n| CHANGED |"))
        #expect(report.md.contains("\n| x | F32 | \\[2\\] | 1 | 2 | 1.414 |\n"))
    }

    @Test func verifyHasTheDamage() throws {
        #expect(try tool.run("convert", "a.safetensors", "d.npz", "--only", "m.*", "--rename", "^.*$=>t").status == 0)
        // 5 in F32, of which one bit turns: the checksum of the member is wrong.
        var bytes = try tool.data("d.npz")
        let five = try #require(bytes.firstRange(of: Data([0x00, 0x00, 0xA0, 0x40])))
        bytes[five.lowerBound] ^= 1
        _ = try tool.folder.write(Array(bytes), to: "d.npz")
        let report = try report("verify", "d.npz", status: 1)
        #expect(report.csv.hasPrefix("facts\nkey,value\nok,false\nchecked_bytes,"))
        #expect(report.csv.contains("\n\ndamage\ntensor,file,offset,bytes,reason\nt,d.npz,"))
        #expect(report.html.contains("<tr><th>TENSOR</th><th>FILE</th><th class=\"right\">OFFSET</th>"))
        #expect(report.html.contains("<tr><td>t</td><td>d.npz</td>"))
        #expect(report.html.contains("<p class=\"lines\">d.npz: 1 place damaged, "))
        #expect(report.md.contains("\n\n    d.npz: 1 place damaged, "))
        let sound = try tool.run("verify", "a.safetensors", "--report", "s.html")
        #expect(sound.status == 0)
        #expect(try html("s.html").contains("<p class=\"lines\">a.safetensors: ok, "))
    }

    @Test func verifyOfATreeHasEveryCheckpoint() throws {
        _ = try tool.shell("mkdir t; cp a.safetensors t/; echo no > t/broken.safetensors; echo > t/notes.txt")
        let report = try report("verify", "--recursive", "t", status: 3)
        #expect(report.csv.hasPrefix("facts\nkey,value\nok,false\nother_files,1\n\ncheckpoints\npath,ok,"))
        #expect(report.csv.contains("\nt/a.safetensors,true,"))
        #expect(report.csv.contains("\nt/broken.safetensors,false,"))
        #expect(report.html.contains("<p class=\"lines\">t/a.safetensors: ok, "))
        #expect(report.html.contains("1 ok, 0 damaged, 1 in error; 1 other file</p>"))
        #expect(report.md.contains("    t/broken.safetensors: "))
    }

    @Test func inspectHasTheTensors() throws {
        let report = try report("inspect", "a.safetensors", "--stats", "--only", "x")
        // Mean 1.5, deviation 0.5, norm the root of 5.
        #expect(
            report.csv.contains(
                """
                totals.tensors,1
                totals.parameters,2
                totals.bytes,8

                tensors
                name,dtype,shape,bytes,stats.min,stats.max,stats.mean,stats.std,stats.norm,stats.zeros,stats.nan,stats.inf
                x,F32,2,8,1.0,2.0,1.5,0.5,2.23606797749979,0,0,0

                """))
        #expect(report.html.contains("<p class=\"lines\">a.safetensors: safetensors</p>"))
        #expect(report.html.contains("<tr><th>NAME</th><th>DTYPE</th>"))
        #expect(report.html.contains("<tr><td>x</td><td>F32</td><td>[2]</td><td class=\"right\">8 B</td>"))
        #expect(report.html.contains("<p class=\"lines\">1 tensor, 2 parameters, 8 B</p>"))
        #expect(report.md.contains("\n| x | F32 | \\[2\\] | 8 B | 1 | 2 | 1.5 | 0.5 | 2.236 | 0 | 0 | 0 |\n"))
    }

    /// People see modules indented by their depth, also where spaces are nothing.
    @Test func inspectOfSeveralHasAllOfThem() throws {
        try tool.write("deep.safetensors", [StoredTensor("p.q.w", [1], [5])])
        let report = try report("inspect", "a.safetensors", "deep.safetensors", "--tree")
        #expect(
            report.csv.contains(
                "\n\ncheckpoints.tensors\ncheckpoints.path,name,dtype,shape,bytes\na.safetensors,x,F32,2,8\n"))
        #expect(report.csv.contains("\ndeep.safetensors,p.q,1,1,4\n"))
        #expect(report.html.contains("<p class=\"lines\">a.safetensors: safetensors</p>"))
        #expect(report.html.contains("<p class=\"lines\">deep.safetensors: safetensors</p>"))
        #expect(report.html.contains("<tr><td>  q</td><td class=\"right\">1</td>"))
        #expect(report.md.contains("\n| &nbsp;&nbsp;q | 1 | 1 | 4 B | 100.0 % |\n"))
    }

    /// F16 has 65504 as its largest number, and nothing near 1e-9 but zero.
    @Test func convertHasWhatWasLost() throws {
        try tool.write("big.safetensors", [StoredTensor("w", [3], [1e-9, 1, 1e30])])
        let report = try report("convert", "big.safetensors", "o.safetensors", "--dtype", "F16")
        #expect(
            report.csv.hasPrefix("facts\nkey,value\noutput,o.safetensors\nformat,safetensors\nfiles,o.safetensors\n"))
        #expect(
            report.csv.contains(
                "\n\noverflows\ntensor,dtype,count\nw,F16,1\n\nunderflows\ntensor,dtype,count\nw,F16,1\n"))
        #expect(report.html.contains("<p class=\"lines\">o.safetensors: 1 tensor written as safetensors, "))
        #expect(report.md.contains("\n\n    o.safetensors: 1 tensor written as safetensors, "))
    }

    /// The mean of 1, 2 and 1, 4.
    @Test func mergeHasWhatWasWritten() throws {
        let merge = ["merge", "--method", "linear", "a.safetensors", "b.safetensors", "--only", "x"]
        let plan = try tool.run(merge + ["--dry-run", "--report", "plan.html", "--report", "plan.csv"])
        #expect(plan.status == 0, "\(plan.errors)")
        #expect(try html("plan.html").contains("<tr><td>parameters</td><td class=\"right\">2</td></tr>"))
        #expect(try text("plan.csv").contains("method,linear\nunits,1\ntensors.elementwise,1\n"))
        let report = try report(
            "merge", "--method", "linear", "a.safetensors", "b.safetensors", "--only", "x", "--output", "m.safetensors")
        #expect(report.csv.hasPrefix("facts\nkey,value\noutput,m.safetensors\nfiles,m.safetensors\n"))
        #expect(report.csv.contains("\nmethod,linear\ntensors,1\nparameters,2\n"))
        #expect(report.html.contains("<p class=\"lines\">m.safetensors: 1 tensor, 2 parameters merged with linear, "))
        #expect(report.md.contains("\n\n    m.safetensors: 1 tensor, 2 parameters merged with linear, "))
        let methods = try tool.run("merge", "--list-methods", "--report", "methods.md")
        #expect(methods.status == 0, "\(methods.errors)")
        #expect(try text("methods.md").contains("| &nbsp;&nbsp;density |"))
    }

    @Test func evaluateHasTheAccuracy() throws {
        let report = try report(
            "evaluate", TinySuite.expert("digits"), "--head", "digits=\(TinySuite.folder)/heads_digits.safetensors",
            "--data", "digits=\(TinySuite.folder)/test_digits.npz")
        #expect(report.csv.contains("\n\ntasks\nname,accuracy,samples,interval\ndigits,"))
        #expect(report.html.contains("<tr><th>task</th>"))
        #expect(report.md.contains("| task | samples | accuracy |"))
    }

    /// Before the work: the checkpoints are not there.
    @Test(arguments: ["r.json", "./r.json", "new/../r.json", "link/r.json"])
    func refusesToWriteTwoReportsToOneFile(name: String) throws {
        _ = try tool.shell("ln -s . link")
        let outcome = try tool.run("diff", "none", "none", "--report", "r.json", "--report", name, "--json")
        #expect(outcome.status == 2)
        #expect(try outcome.error()["code"].string == "usage.same_report")
        #expect(!tool.exists("r.json"))
        let others = try tool.run(
            "inspect", "a.safetensors", "--report", "r.json", "--report", "new/r.json", "--report", "r.md")
        #expect(others.status == 0, "\(others.errors)")
    }

    /// What cannot be written has been seen: here the folder of the report is a file.
    @Test func printsTheResultBeforeTheReports() throws {
        _ = try tool.folder.write([], to: "file")
        let outcome = try tool.run("inspect", "a.safetensors", "--report", "file/r.json")
        #expect(outcome.status == 4)
        #expect(outcome.output.contains("3 tensors, 5 parameters, 20 B"))
        let again = try tool.run("inspect", "a.safetensors", "--report", "r.csv")
        #expect(again.status == 0)
        #expect(
            try tool.run("inspect", "b.safetensors", "--report", "r.csv", "--json").error()["code"].string
                == "io.exists")
        #expect(try tool.run("inspect", "b.safetensors", "--report", "r.csv", "--force").status == 0)
        #expect(try text("r.csv").contains("\nright,F32,1,4\n"))
    }
}
