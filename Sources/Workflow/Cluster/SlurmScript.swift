import Checkpoints
import SystemPackage
import TensorCore
import Work

/// A shell script that hands entries of work to Slurm: those of a stage as one array of tasks, each stage after the one before.
///
/// Beside the output it leaves, for every task, a log, what the task printed and how it ended (`running`, then its exit status).
public struct SlurmScript: Sendable {
    /// What is submitted at once.
    public struct Stage: Sendable {
        public let name: String
        public let tasks: [Task]
    }

    /// One process: a command that a person could type.
    public struct Task: Sendable {
        /// The entry that it carries out.
        public let entry: String
        public let stage: String
        /// Its number among all entries of the stage, finished ones too, from 1: the same whenever the work is submitted.
        public let number: Int
        let command: [String]

        /// The name of its files, without extension.
        public var name: String { "\(stage)-\(number)" }
    }

    public let stages: [Stage]
    /// Where tasks run, so that paths mean what they do here.
    let workingFolder: FilePath
    /// Gets the files about the tasks.
    let folder: FilePath
    /// Options for `sbatch`, as they are typed in a shell.
    let options: String
    /// A line by which scripts of the same work are known, whatever of it is finished.
    let mark: String

    /// Arranges entries in stages.
    ///
    /// - Parameters:
    ///   - entries: what is to be done, in order.
    ///   - all: every entry of the work.
    ///   - command: what carries an entry out.
    public init<Entry: WorkEntry>(
        _ entries: [Entry], of all: [Entry], workingFolder: FilePath, folder: FilePath, options: String,
        command: (Entry) -> [String]
    ) {
        var stages: [Stage] = []
        for entry in entries {
            let number = (all.filter { $0.stage == entry.stage }.firstIndex(of: entry) ?? 0) + 1
            let task = Task(
                entry: entry.description, stage: entry.stage, number: number, command: command(entry))
            if let last = stages.last, last.name == entry.stage {
                stages[stages.count - 1] = Stage(name: last.name, tasks: last.tasks + [task])
            } else {
                stages.append(Stage(name: entry.stage, tasks: [task]))
            }
        }
        self.stages = stages
        let hash = ContentHash.Accumulator()
        let words = all.flatMap { command($0) + [""] } + [options]
        Array(words.joined(separator: "\0").utf8).withUnsafeBytes { hash.update($0) }
        mark = "# Of the work \(hash.finish())."
        self.workingFolder = workingFolder
        self.folder = folder
        self.options = options
    }

    public var tasks: [Task] { stages.flatMap(\.tasks) }

    /// The script. It prints the name of each stage and the number that Slurm gave it.
    public var text: String {
        var text = """
            #!/usr/bin/env bash
            # Submits \(tasks.count == 1 ? "1 task" : "\(tasks.count) tasks") to Slurm and prints the number of each array of tasks.
            \(mark)
            set -euo pipefail
            cd \(workingFolder.string.quotedForShell)
            folder=\(folder.string.quotedForShell)
            options=(\(options))
            mkdir -p "$folder"
            : > "$folder/jobs"
            jobs=()
            # What was submitted of a half is taken back.
            trap '[ ${#jobs[@]} = 0 ] || scancel "${jobs[@]}"' ERR

            """
        for (place, stage) in stages.enumerated() {
            text += block(of: stage, after: place == 0 ? nil : stages[place - 1])
        }
        return text
    }

    private func block(of stage: Stage, after previous: Stage?) -> String {
        let numbers = stage.tasks.map { "\($0.number)" }
        let cases = stage.tasks.map {
            "\($0.number)) task=(\($0.command.map(\.quotedForShell).joined(separator: " "))) ;;"
        }
        let dependency = previous.map { _ in "--dependency=afterok:${jobs[-1]} --kill-on-invalid-dep=yes " } ?? ""
        return """

            cat > "$folder/\(stage.name).sh" <<'END_OF_SCRIPT'
            #!/usr/bin/env bash
            cd \(workingFolder.string.quotedForShell) || exit
            folder=\(folder.string.quotedForShell)
            case $SLURM_ARRAY_TASK_ID in
            \(cases.joined(separator: "\n"))
            esac
            note="$folder/\(stage.name)-$SLURM_ARRAY_TASK_ID"
            echo running > "$note.status"
            "${task[@]}" > "$note.out"
            status=$?
            echo $status > "$note.ended" && mv "$note.ended" "$note.status"
            exit $status
            END_OF_SCRIPT
            for number in \(numbers.joined(separator: " ")); do rm -f "$folder/\(stage.name)-$number".{log,out,status}; done
            job=$(sbatch --parsable --job-name=untangle-\(stage.name) --array=\(numbers.joined(separator: ",")) \(dependency)\
                --output=\(logPattern(of: stage).quotedForShell) "${options[@]}" "$folder/\(stage.name).sh")
            jobs+=("${job%%;*}")
            echo "\(stage.name) ${jobs[-1]}" | tee -a "$folder/jobs"

            """
    }

    /// In which Slurm writes the number of a task for `%a`.
    private func logPattern(of stage: Stage) -> String {
        folder.string.replacing("%", with: "%%") + "/\(stage.name)-%a.log"
    }
}
