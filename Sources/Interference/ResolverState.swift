import TensorCore

/// Where the adaptation of one expert stands between two steps: everything that the steps to come depend on, besides the options and
/// the inputs.
///
/// What a batch holds follows from its step and the seed, and needs no state. The vectors are those that the adaptation goes on to
/// change; so that nobody sees that happen, a state cannot be copied.
public struct ResolverState: ~Copyable, Sendable {
    /// The student, of the network's layout.
    package let parameters: FloatBuffer
    /// The moments of AdamW, of the same layout.
    package let firstMoment, secondMoment: FloatBuffer
    /// Every step that was taken.
    public let trace: [ResolverStep]
    /// What early stopping decides by; nil without it.
    package let heldOut: HeldOutChecks?

    /// The step that comes next, from 0.
    public var step: Int { trace.count }

    /// The state before the first step: the expert itself, which becomes the student.
    ///
    /// - Throws: `IOError` when memory is short.
    init(startingAt expert: FloatBuffer, checksHeldOut: Bool = false) throws {
        self.init(
            parameters: expert, firstMoment: try FloatBuffer(count: expert.count),
            secondMoment: try FloatBuffer(count: expert.count), trace: [],
            heldOut: checksHeldOut ? try HeldOutChecks(parameterCount: expert.count) : nil)
    }

    /// A state with vectors of zeros, to be filled in by whoever has kept one.
    ///
    /// - Throws: `IOError` when memory is short.
    package init(parameterCount: Int, trace: [ResolverStep], heldOut: HeldOutChecks? = nil) throws {
        self.init(
            parameters: try FloatBuffer(count: parameterCount), firstMoment: try FloatBuffer(count: parameterCount),
            secondMoment: try FloatBuffer(count: parameterCount), trace: trace, heldOut: heldOut)
    }

    init(
        parameters: FloatBuffer, firstMoment: FloatBuffer, secondMoment: FloatBuffer, trace: [ResolverStep],
        heldOut: HeldOutChecks?
    ) {
        self.parameters = parameters
        self.firstMoment = firstMoment
        self.secondMoment = secondMoment
        self.trace = trace
        self.heldOut = heldOut
    }
}

extension Resolver {
    /// Who keeps the state of an adaptation, so that another process can go on with it.
    public struct Saving {
        /// How many steps lie between two states; nil saves none but the last.
        public let interval: Int?
        public let save: (borrowing ResolverState) throws -> Void

        /// What an interval may be.
        public static let intervals = 1...Int(Int32.max)

        /// Says how often a state is kept, and where.
        ///
        /// - Parameter save: called between two steps, and after the last one.
        public init(every interval: Int?, save: @escaping (borrowing ResolverState) throws -> Void) {
            self.interval = interval
            self.save = save
        }

        func isDue(after count: Int, isLast: Bool) -> Bool {
            isLast || interval.map { count.isMultiple(of: $0) } ?? false
        }
    }
}
