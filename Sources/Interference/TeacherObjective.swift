import Networks
import TensorCore

/// What one head of a student is held to.
struct HeadTeacher: Sendable {
    /// Rows of logits, those of this head from `offset` on.
    let logits: FloatBuffer
    let stride: Int
    let offset: Int
    let term: LossTerm
    /// In its term.
    let weight: Double
}

/// What a distance is counted as.
enum LossTerm: Sendable {
    /// That a student under a head remains what the expert of the head is.
    case preservation
    /// That it remains what the base is.
    case interference
}

/// A loss with a teacher for every head: that of Resolving Interference, and that of distilling.
///
///     L = preservation + alpha * interference,   each term E_x Σ_j weight_j dist(teacher_j(x), h_j f(x; student))
///
/// - Source: Ramesh, Stoica, Iyer, Choshen, Hoffman 2026, arXiv:2603.13467.
struct TeacherObjective: Sendable {
    let bank: HeadBank
    /// One for each head of the bank.
    let teachers: [HeadTeacher]
    let alpha: Double
    let distance: Distance
    let temperatures: Temperatures

    /// A teacher for every head, compared as options say.
    ///
    /// - Precondition: there are as many teachers as heads.
    init(bank: HeadBank, teachers: [HeadTeacher], options: ResolverOptions) {
        precondition(bank.heads.count == teachers.count, "a head without a teacher")
        self.bank = bank
        self.teachers = teachers
        alpha = options.alpha
        distance = options.distance
        temperatures = options.temperatures
    }

    func loss(_ terms: LossTerms) -> Double { terms.preservation + alpha * terms.interference }

    /// Adds up both terms over some inputs and overwrites the gradient of the student's logits.
    ///
    /// - Shapes: `student` and `gradient` `[B, K]`, `slots` `[B]` rows of the teachers' logits.
    /// - Parameter batchSize: the inputs that the loss is averaged over, those of all shards.
    func evaluate(
        student: UnsafePointer<Float>, gradient: UnsafeMutablePointer<Float>, slots: UnsafePointer<Int>, B: Int,
        batchSize: Int
    ) -> LossTerms {
        let K = bank.classCount
        var terms = LossTerms()
        for b in 0..<B {
            for (teacher, columns) in zip(teachers, bank.columns) {
                let row = b * K + columns.lowerBound
                let factor = teacher.term == .preservation ? teacher.weight : alpha * teacher.weight
                let value = distance.value(
                    teacher: teacher.logits.pointer + slots[b] * teacher.stride + teacher.offset,
                    student: student + row, K: columns.count, temperatures: temperatures, gradient: gradient + row,
                    scale: factor / Double(batchSize))
                switch teacher.term {
                case .preservation: terms.preservation += value * teacher.weight
                case .interference: terms.interference += value * teacher.weight
                }
            }
        }
        return terms
    }
}

/// The two terms of the loss, summed over inputs or averaged.
struct LossTerms: Sendable {
    var preservation = 0.0
    var interference = 0.0

    static func += (a: inout LossTerms, b: LossTerms) {
        a.preservation += b.preservation
        a.interference += b.interference
    }

    static func * (terms: LossTerms, factor: Double) -> LossTerms {
        LossTerms(preservation: terms.preservation * factor, interference: terms.interference * factor)
    }
}
