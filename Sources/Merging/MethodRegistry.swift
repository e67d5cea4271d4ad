import TensorCore

/// The merge methods by name.
public enum MergeMethods {
    /// Whether a method hands the tensors of one model on, so that quantised weights are left as the parts that are stored.
    public static func keepsParts(_ method: String) -> Bool { method == Passthrough().info.name }

    /// In the order in which they are listed to people.
    public static let all: [any MergeMethod] = plain.map { LayerScaling(SpectrumCorrected($0)) }

    /// Parameters that every method has, at the end of its own.
    public static let commonParameters = SpectrumCorrection.parameters.map(\.spec) + depthParameters

    /// Those of them that go by the depth of a tensor in its model.
    public static let depthParameters = LayerScaling.parameters.map(\.spec)

    private static let plain: [any MergeMethod] = [
        Linear(), Average(), Slerp(), NuSlerp(), MultiSlerp(), Karcher(), NearSwap(), ArceeFusion(), Passthrough(),
        TaskArithmetic(),
        ConsensusTA(), ModelStock(), TIES(), DARE.linear, DARE.ties, DELLA.linear, DELLA.ties,
        Breadcrumbs.linear, Breadcrumbs.ties, SCE(), RAM.plain, RAM.rescaled, MagMax(), PCB(), TSVM(), DCMerge(),
        IsoC(),
        IsoCTS(),
        KnOTS(), WUDI(), SWUDI.soft, SWUDI.adaptive, ActMat(), ACE(), Fisher(), RegMean(), ESM(),
    ]

    /// The method of a name.
    ///
    /// - Throws: `merge.unknown_method` with the nearest name.
    public static func named(_ name: String) throws(MergeError) -> any MergeMethod {
        if let method = all.first(where: { $0.info.name == name }) { return method }
        let names = all.map(\.info.name)
        let known = "known methods: \(names.joined(separator: ", "))"
        let hint = nearestName(to: name, among: names).map { "did you mean \"\($0)\"? \(known)" } ?? known
        throw MergeError(.unknownMethod, "there is no merge method \"\(name)\"", hint: hint)
    }
}
