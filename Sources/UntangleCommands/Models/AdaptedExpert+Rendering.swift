import Reporting
import TensorCore
import Workflow

extension Session {
    /// Tells what came of adapting one expert.
    func print(_ expert: AdaptedExpert) throws {
        if json {
            return try print(Report(title: "", sections: [.table([expert].table("experts"))]).json)
        }
        let path = expert.path?.string.escapingControlCharacters ?? ""
        let training = expert.training.map { "\($0.trace.count.grouped) steps in \($0.duration.readable)" }
        try print("\(path): \(training ?? "done before")\n")
    }
}
