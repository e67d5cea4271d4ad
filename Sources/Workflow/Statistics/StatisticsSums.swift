import Checkpoints
import Experts
import Interference
import Kernels
import Networks
import SystemPackage
import TensorCore

/// Statistics while they are added up: their state on the way, and the means at the end.
protocol StatisticsSums {
    var statistics: any InputStatistics { get }
    /// The tensors of the output.
    var tensors: [TensorDescriptor] { get }
    /// The rows that means are over, where they are not the inputs.
    var rowCounts: [TensorName: Int] { get }
    /// The sums, as a state keeps them.
    var state: [(descriptor: TensorDescriptor, sum: Matrix<Double>)] { get }
    /// One number for each sum, beside them.
    var counts: [Int] { get }

    func restore(counts: [Int])

    /// Writes means in the order of `tensors`.
    ///
    /// - Throws: `interference.diverged` when one is not finite; what the writer throws.
    func write(inputCount: Int, into writer: any CheckpointWriter) throws
}

/// The Gram matrices of the inputs of linear layers.
struct GramSums: StatisticsSums {
    private let moments: ProductMoments
    private let layers: [Backbone.LinearLayer]
    let tensors: [TensorDescriptor]
    let state: [(descriptor: TensorDescriptor, sum: Matrix<Double>)]

    /// The weights of layers, each once.
    static func weights(of layers: [Backbone.LinearLayer]) -> [ParameterLayout.Entry] {
        var seen = Set<Int>()
        return layers.map(\.weight).filter { seen.insert($0.range.lowerBound).inserted }
    }

    init(_ network: any Network, _ layers: [Backbone.LinearLayer], inputs: InputSet) throws {
        self.layers = layers
        moments = try ProductMoments(network, of: Self.weights(of: layers), inputs: inputs, purpose: .observation)
        tensors = try layers.map {
            let width = ProductMoments.width(of: $0.weight)
            return try TensorDescriptor(name: $0.tensor, dtype: .f64, shape: [width, width])
        }
        state = try moments.moments.map {
            let shape = Shape([$0.sum.rows, $0.sum.columns])
            return (try TensorDescriptor(name: $0.weight.name, dtype: .f64, shape: shape), $0.sum)
        }
    }

    var statistics: any InputStatistics { moments }
    var counts: [Int] { moments.moments.map(\.rowCount) }
    func restore(counts: [Int]) { moments.restore(rowCounts: counts) }

    private func moment(of layer: Backbone.LinearLayer) -> ProductMoments.Moment {
        guard let moment = moments.moments.first(where: { $0.weight == layer.weight }) else {
            preconditionFailure("every layer has a weight that is observed")
        }
        return moment
    }

    var rowCounts: [TensorName: Int] {
        Dictionary(uniqueKeysWithValues: layers.map { ($0.tensor, moment(of: $0).rowCount) })
    }

    func write(inputCount: Int, into writer: any CheckpointWriter) throws {
        moments.complete()
        for moment in moments.moments {
            let factor = 1 / Double(max(1, moment.rowCount))
            for place in 0..<moment.sum.count { moment.sum.pointer[place] *= factor }
        }
        for (tensor, layer) in layers.enumerated() {
            let mean = moment(of: layer).sum
            guard mean.values.allSatisfy(\.isFinite) else { throw Self.overflow(of: layer.tensor) }
            try writer.write(UnsafeRawBufferPointer(mean.values), tensor: tensor, at: 0)
        }
    }

    private static func overflow(of tensor: TensorName) -> InterferenceError {
        InterferenceError(.diverged, "what \"\(tensor)\" is multiplied with is not finite", tensor: tensor)
    }
}

/// Squared gradients.
struct FisherSums: StatisticsSums {
    private let information: FisherInformation
    private let backbone: Backbone
    private let store: TensorStore
    let tensors: [TensorDescriptor]
    let state: [(descriptor: TensorDescriptor, sum: Matrix<Double>)]

    init(_ information: FisherInformation, of tensors: [TensorDescriptor], store: TensorStore, backbone: Backbone)
        throws
    {
        self.information = information
        self.backbone = backbone
        self.store = store
        self.tensors = tensors
        let squares = information.squares
        state = [(try TensorDescriptor(name: "squares", dtype: .f64, shape: [1, squares.count]), squares)]
    }

    var statistics: any InputStatistics { information }
    var rowCounts: [TensorName: Int] { [:] }
    var counts: [Int] { [0] }
    func restore(counts: [Int]) {}

    func write(inputCount: Int, into writer: any CheckpointWriter) throws {
        let squares = information.squares
        let means = try FloatBuffer(count: squares.count)
        for place in 0..<squares.count { means.pointer[place] = Float(squares.pointer[place] / Double(inputCount)) }
        if let tensor = backbone.network.layout.firstNonFiniteTensor(in: means.pointer) {
            throw InterferenceError(.diverged, "the squared gradients of \"\(tensor)\" are not finite", tensor: tensor)
        }
        let places = Dictionary(uniqueKeysWithValues: tensors.enumerated().map { ($0.element.name, $0.offset) })
        try backbone.forEachTensor(of: means, in: store) { name, bytes in
            guard let tensor = places[name] else { return }
            try withExtendedLifetime(bytes) { try writer.write(bytes.bytes, tensor: tensor, at: 0) }
        }
    }
}
