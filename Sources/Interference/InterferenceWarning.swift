public import TensorCore

/// What should be known of options although they can be followed.
public enum InterferenceWarning: String, WarningCode {
    public static let area = "interference"

    /// An option has no effect beside the others.
    case noEffect = "no_effect"
    /// A model that is the base cannot be trained at a rate that follows from its distance.
    case zeroRate = "zero_rate"
}

extension ResolverOptions {
    /// What of the options has no effect, or another one than its words say.
    public var warnings: [Warning] {
        let standard = ResolverOptions()
        var problems: [String] = []
        if patience == 0 {
            if holdout != standard.holdout { problems.append("holdout has no effect without patience") }
            if checkEvery != standard.checkEvery { problems.append("check_every has no effect without patience") }
        }
        if warmupSteps > steps {
            problems.append(
                "the learning rate rises over \(warmupSteps) steps, and there are \(steps): it never gets to its full height"
            )
        }
        if distance == .crossEntropy, temperatures.teacher != 1 {
            problems.append(
                "teacher_temperature has no effect under cross_entropy, which looks at the teacher's choice alone")
        }
        return problems.map { Warning(InterferenceWarning.noEffect, $0) }
    }
}
