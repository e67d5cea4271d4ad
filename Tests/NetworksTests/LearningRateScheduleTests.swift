import Networks
import Testing

@Suite("learning rate schedules") struct LearningRateScheduleTests {
    @Test(
        "rise over the warm-up, and take the steps after it",
        arguments: [
            (LearningRateSchedule.constant, [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]),
            (.linear, [0.25, 0.5, 0.75, 1, 1, 0.75, 0.5, 0.25]),
            // (1 + cos(π k / 4)) / 2
            (.cosine, [0.25, 0.5, 0.75, 1, 1, 0.853_553_390_593_273_8, 0.5, 0.146_446_609_406_726_24]),
        ])
    func warmup(_ schedule: LearningRateSchedule, _ factors: [Double]) {
        for (step, factor) in factors.enumerated() {
            #expect(abs(schedule.factor(step: step, of: 8, warmup: 4) - factor) < 1e-12)
        }
        #expect(schedule.factor(step: 0, of: 8) == 1)
        // Longer than the run: it ends on the way up.
        #expect(schedule.factor(step: 7, of: 8, warmup: 16) == 0.5)
    }
}
