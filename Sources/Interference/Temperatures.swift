/// What logits are divided by before they are compared: a high temperature makes a softmax flat.
///
/// With a student's temperature above the teacher's, logits of the student have to be larger than the teacher's to say the same, and
/// training makes it surer than the teacher.
public struct Temperatures: Sendable, Hashable {
    /// Of the logits that are given.
    public var teacher: Double
    /// Of the logits that are trained.
    public var student: Double

    /// Two temperatures; 1 leaves logits as they are.
    public init(teacher: Double = 1, student: Double = 1) {
        self.teacher = teacher
        self.student = student
    }

    /// What a temperature may be.
    static let range = 0.01...100.0
}
