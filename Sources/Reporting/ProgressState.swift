import TensorCore

/// The facts of one piece of work, and the ways to print them.
package struct ProgressState: Sendable {
    package let title: String
    package let total: Int?
    package let unit: ProgressUnit
    package var done = 0
    package var remark = ""

    package init(title: String, total: Int?, unit: ProgressUnit) {
        self.title = title
        self.total = total
        self.unit = unit
    }

    private var fraction: Double? {
        guard let total, total > 0 else { return nil }
        return min(1, Double(done) / Double(total))
    }

    /// One line with a bar, for a terminal that is redrawn: `title  [####....]  40 %  1.2 GiB of 3 GiB  510 MiB/s  3.5 s left  remark`.
    ///
    /// - Parameter columns: how wide the terminal is; the line is cut to fit, so that it never wraps.
    package func bar(elapsed: Duration, columns: Int) -> String {
        let title = title.escapingControlCharacters
        let facts = facts(elapsed: elapsed)
        guard let fraction else { return ([title] + facts).joined(separator: "  ").prefix(columns: columns - 1) }
        // The bar gives way to what is written beside it.
        let written = ([title] + facts).reduce(0) { $0 + $1.displayWidth + 2 }
        let barWidth = min(24, columns - 1 - written - 2)
        guard barWidth >= 4 else { return ([title] + facts).joined(separator: "  ").prefix(columns: columns - 1) }
        let filled = Int(fraction * Double(barWidth))
        let gauge = String(repeating: "#", count: filled) + String(repeating: ".", count: barWidth - filled)
        return ([title, "[\(gauge)]"] + facts).joined(separator: "  ").prefix(columns: columns - 1)
    }

    /// One line of plain text for a log file.
    package func line(elapsed: Duration) -> String {
        ([title.escapingControlCharacters + ":"] + facts(elapsed: elapsed)).joined(separator: "  ")
    }

    /// `{"event":"progress","stage","done","total","unit","seconds"}`, with the remark if there is one.
    package func event(elapsed: Duration) -> JSONOutput {
        let unit =
            switch unit {
            case .bytes: "bytes"
            case .items(let name): name
            }
        let event: JSONOutput = [
            "event": "progress", "stage": .string(title), "done": .integer(done),
            "total": total.map(JSONOutput.integer) ?? .null, "unit": .string(unit),
            "seconds": .number(elapsed.seconds),
        ]
        return event.adding("remark", remark.isEmpty ? nil : .string(remark))
    }

    private func facts(elapsed: Duration) -> [String] {
        var parts: [String] = []
        if let fraction { parts.append("\(Int(fraction * 100)) %") }
        parts.append(total.map { "\(amount(done)) of \(amount($0))\(unitSuffix)" } ?? "\(amount(done))\(unitSuffix)")
        let seconds = elapsed.seconds
        if seconds > 0, done > 0 {
            let rate = Double(done) / seconds
            parts.append(rateText(rate))
            if let total, total > done {
                parts.append("\(Duration.seconds(Double(total - done) / rate).readable) left")
            }
        }
        if !remark.isEmpty { parts.append(remark.escapingControlCharacters) }
        return parts
    }

    private func amount(_ count: Int) -> String {
        switch unit {
        case .bytes: ByteSize(count).description
        case .items: count.grouped
        }
    }

    private var unitSuffix: String {
        switch unit {
        case .bytes: ""
        case .items(let name): " \(name)"
        }
    }

    private func rateText(_ rate: Double) -> String {
        switch unit {
        case .bytes: "\(ByteSize(Int(min(rate, 1e18))))/s"
        case .items: "\(rate.short(3))/s"
        }
    }
}
