/// Which of several things goes with which place, each with one that fits: a matching of a bipartite graph by augmenting paths.
///
/// A thing that finds its places taken asks those that have them to move, and these ask others; n things with m pairs that fit take
/// n m steps, where trying all orders takes n!.
///
/// - Source: Kuhn, "The Hungarian method for the assignment problem", 1955; the search is breadth first.
struct FactorMatching {
    /// The places that fit each thing, ascending.
    private let choices: [[Int]]
    /// The thing that has each place.
    private var owners: [Int?]
    /// The place of each thing.
    private var places: [Int?]

    /// The place of each thing; the first thing has the first place that leaves one for all others, then the second, and so on.
    var order: [Int] { places.compactMap(\.self) }

    /// The first thing that has no place that others do not need more; nil when all have one.
    private(set) var unplaced: Int?

    /// Places things.
    ///
    /// - Parameters:
    ///   - count: of things, and of places.
    ///   - fits: whether a thing may have a place.
    init(count: Int, fits: (_ thing: Int, _ place: Int) -> Bool) {
        choices = (0..<count).map { thing in (0..<count).filter { fits(thing, $0) } }
        owners = [Int?](repeating: nil, count: count)
        places = owners
        unplaced = choices.firstIndex { $0.isEmpty }
        guard unplaced == nil else { return }
        for thing in 0..<count where !move(thing, settled: 0) {
            unplaced = thing
            return
        }
        for thing in 0..<count { settle(thing) }
    }

    /// Gives a thing a place.
    ///
    /// - Parameter settled: how many of the first things do not move.
    /// - Returns: whether there is one.
    private mutating func move(_ thing: Int, settled: Int) -> Bool {
        var askers = [Int?](repeating: nil, count: owners.count)
        var waiting = [thing]
        var next = 0
        while next < waiting.count {
            let asker = waiting[next]
            next += 1
            for place in choices[asker] where askers[place] == nil && owners[place].map({ $0 >= settled }) ?? true {
                askers[place] = asker
                guard let owner = owners[place] else {
                    take(place, askers)
                    return true
                }
                waiting.append(owner)
            }
        }
        return false
    }

    /// Gives a free place to who asked for it, the place of that one to who asked before, and so on.
    private mutating func take(_ free: Int, _ askers: [Int?]) {
        var free: Int? = free
        while let place = free, let asker = askers[place] {
            free = places[asker]
            places[asker] = place
            owners[place] = asker
        }
    }

    /// Gives a thing the first place that it can have while those before it keep theirs.
    private mutating func settle(_ thing: Int) {
        for place in choices[thing] {
            guard let now = places[thing], place < now else { return }
            guard let owner = owners[place], owner > thing else { continue }
            let before = (owners, places)
            (owners[now], owners[place]) = (nil, thing)
            (places[owner], places[thing]) = (nil, place)
            if move(owner, settled: thing + 1) { return }
            (owners, places) = before
        }
    }
}
