/// What logits are divided by before they are compared: a high temperature makes a softmax flat.
///
/// With a student's temperature above the teacher's, logits of the student have to be larger than the teacher's to say the same, and
/// training makes it surer than the teacher.
public struct Temperatures: Sendable, Hashable {
    public var teacher: Double
    public var student: Double

    public init(teacher: Double = 1, student: Double = 1) {
        self.teacher = teacher
        self.student = student
    }

    /// What a temperature may be.
    static let range = 0.01...100.0
}
