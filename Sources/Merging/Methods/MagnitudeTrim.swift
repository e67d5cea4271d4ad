import Kernels

/// Keeps the largest entries of each expert's task vector, over one tensor or over the whole model.
struct MagnitudeTrim: MergeSurvey {
    private let entries: LargestEntries

    /// Trims every expert to its share of the largest entries.
    ///
    /// - Parameters:
    ///   - elementCount: n, the entries that the shares in `densities` refer to.
    ///   - equals: with `all`, what is looked for is the (int(density · n) + 1)-th largest magnitude, as in the authors' code.
    init(densities: [Double], elementCount: Int, equals: MagnitudeCut.Equals) {
        let counts = densities.map { density -> Int? in
            guard density < 1, elementCount > 0 else { return nil }
            let share = Int(density * Double(elementCount))
            return min(elementCount, equals == .all ? share + 1 : max(1, share))
        }
        entries = LargestEntries(counts: counts, elementCount: elementCount, equals: equals)
    }

    var passCount: Int { entries.passCount }
    var readingCount: Int { entries.readingCount }
    var byteCount: Int { entries.byteCount }
    var scratchByteCount: Int { entries.scratchByteCount }
    func needs(pass: Int) -> Bool { entries.isSearching }

    func observe(_ chunk: MergeChunk, pass: Int) {
        if chunk.needsDouble {
            TaskVectorStreams<Double>.with(chunk) { entries.observe(&$0) }
        } else {
            TaskVectorStreams<Float>.with(chunk) { entries.observe(&$0) }
        }
    }

    func finish(pass: Int) { entries.finishPass() }

    /// Cuts a block into runs within which the entries that are kept are those from a magnitude on.
    ///
    /// - Parameter body: gets the run's offset and length, and the key of the least magnitude for each expert; false ends the
    ///   walk.
    /// - Returns: whether the walk came to its end.
    func forEachRun<T>(
        of block: MergeBlock<T>, _ body: (_ offset: Int, _ count: Int, _ limits: [UInt32]) -> Bool
    ) -> Bool {
        let cuts = entries.cuts
        let borders = cuts.map { $0.equalCount(from: block.start, count: block.count) }
        var offset = 0
        while offset < block.count {
            let end = borders.filter { $0 > offset }.min() ?? block.count
            let limits = zip(cuts, borders).map { cut, border in border > offset ? cut.key : cut.key + 1 }
            guard body(offset, end - offset, limits) else { return false }
            offset = end
        }
        return true
    }

    /// Reads the trimmed and weighted task vectors w_i τ̂_i of a block, one row for each expert.
    @inline(__always)
    func readVotes<T>(
        of block: MergeBlock<T>, base: UnsafePointer<T>, weights: [Double], into votes: [UnsafeMutablePointer<T>]
    ) {
        let cuts = entries.cuts
        for expert in weights.indices {
            let vote = votes[expert]
            block.readTaskVector(expert, base: base, into: vote)
            let weight = T(weights[expert])
            if cuts[expert].isKeepingAll {
                for i in 0..<block.count { vote[i] = weight * vote[i] }
            } else {
                cuts[expert].keep(vote, by: vote, from: block.start, count: block.count, times: weight)
            }
        }
    }
}
