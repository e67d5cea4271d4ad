import Reporting
import Synchronization
import Testing

/// A clock that is set by hand and a stream that remembers.
private final class Stage: Sendable {
    private let time = Mutex(Duration.zero)
    private let texts = Mutex<[String]>([])

    var written: [String] { texts.withLock { $0 } }

    func advance(milliseconds: Int) { time.withLock { $0 += .milliseconds(milliseconds) } }

    func progress(_ style: TerminalProgress.Style) -> TerminalProgress {
        TerminalProgress(
            style: style, now: { self.time.withLock { $0 } }, write: { text in self.texts.withLock { $0.append(text) } }
        )
    }
}

@Suite struct TerminalProgressTests {
    @Test func drawsABarAtMostTenTimesASecond() {
        let stage = Stage()
        let progress = stage.progress(.bar(columns: 200))
        progress.begin("reading", total: 4 << 20, unit: .bytes)
        for _ in 0..<40 {
            stage.advance(milliseconds: 25)
            progress.advance(by: 1 << 16)
        }
        progress.end()
        // 40 reports in one second: ten bars and the clearing of the last.
        #expect(stage.written.count == 11)
        #expect(
            stage.written[0]
                == "\r\u{1B}[Kreading  [#.......................]  6 %  256 KiB of 4.00 MiB  2.50 MiB/s  1.50 s left")
        #expect(stage.written[10] == "\r\u{1B}[K")
    }

    @Test func printsALineEveryTenSecondsIntoALog() {
        let stage = Stage()
        let progress = stage.progress(.lines)
        progress.begin("resolving digits", total: 250, unit: .items("steps"))
        for step in 1...125 {
            stage.advance(milliseconds: 200)
            progress.remark("loss \(step)")
            progress.advance(by: 1)
        }
        progress.end()
        #expect(
            stage.written == [
                "resolving digits:  19 %  49 of 250 steps  4.9/s  41.0 s left  loss 50\n",
                "resolving digits:  39 %  99 of 250 steps  4.95/s  30.5 s left  loss 100\n",
            ])
    }

    @Test func tellsProgramsAtBeginningEverySecondAndAtTheEnd() {
        let stage = Stage()
        let progress = stage.progress(.events)
        progress.begin("a \"b\"", total: 4, unit: .items("steps"))
        for _ in 1...3 {
            stage.advance(milliseconds: 500)
            progress.advance(by: 1)
        }
        progress.remark("loss 1")
        progress.begin("c", total: nil, unit: .bytes)
        progress.end()
        progress.end()
        let first = #"{"event":"progress","stage":"a \"b\"","done":"#
        #expect(
            stage.written == [
                first + #"0,"total":4,"unit":"steps","seconds":0.0}"# + "\n",
                first + #"2,"total":4,"unit":"steps","seconds":1.0}"# + "\n",
                first + #"3,"total":4,"unit":"steps","seconds":1.5,"remark":"loss 1"}"# + "\n",
                #"{"event":"progress","stage":"c","done":0,"total":null,"unit":"bytes","seconds":0.0}"# + "\n",
                #"{"event":"progress","stage":"c","done":0,"total":null,"unit":"bytes","seconds":0.0}"# + "\n",
            ])
    }

    @Test func staysSilentWhenAskedToButPrintsOtherLines() {
        let stage = Stage()
        let progress = stage.progress(.silent)
        progress.begin("reading", total: nil, unit: .bytes)
        stage.advance(milliseconds: 60_000)
        progress.advance(by: 1)
        progress.print("warning: something\n")
        progress.end()
        #expect(stage.written == ["warning: something\n"])
    }

    @Test func takesTheBarOutOfTheWayOfOtherLines() {
        let stage = Stage()
        let progress = stage.progress(.bar(columns: 12))
        progress.begin("copying", total: 10, unit: .items("tensors"))
        stage.advance(milliseconds: 100)
        progress.advance(by: 5)
        progress.print("warning: x\n")
        progress.end()
        // The line is cut to one column less than the terminal has, so that it never wraps, and facts go before the bar.
        #expect(stage.written == ["\r\u{1B}[Kcopying  50", "\r\u{1B}[K", "warning: x\n"])
    }

    @Test func countsFromSeveralThreads() async {
        let stage = Stage()
        let progress = stage.progress(.bar(columns: 100))
        progress.begin("adding", total: 4000, unit: .items("steps"))
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<4 {
                group.addTask { for _ in 0..<1000 { progress.advance(by: 1) } }
            }
        }
        stage.advance(milliseconds: 200)
        progress.advance(by: 0)
        #expect(stage.written.last?.contains("100 %  4,000 of 4,000 steps") == true)
    }
}
