import Merging
import SystemPackage
import TensorCore
import Yams

/// Reads a method's parameters from the sections of a recipe.
///
/// A parameter that the method does not have is a warning that names the nearest one: public recipes are full of keys without
/// effect, such as `int8_mask`.
struct RecipeParameters {
    /// Nil for a method that does not exist, whose parameters nobody will ask for.
    let method: MethodInfo?
    let file: FilePath
    private(set) var warnings: [String] = []

    init(method: MethodInfo?, file: FilePath) {
        self.method = method
        self.file = file
    }

    mutating func values(in section: YAMLSection?) throws(RecipeError) -> [String: ParameterValue] {
        guard let section, let method else { return [:] }
        let names = method.parameters.map(\.name)
        var values: [String: ParameterValue] = [:]
        for (key, line) in section.keys {
            guard let spec = method.parameters.first(where: { $0.name == key }) else {
                let hint =
                    nearestName(to: key, among: names).map { "did you mean \($0)?" }
                    ?? "its parameters are \(names.joined(separator: ", "))"
                let place = line.map { "line \($0): " } ?? ""
                warnings.append(
                    place + "method \(method.name) has no parameter \"\(key)\", ignored"
                        + (names.isEmpty ? "" : " (\(hint))"))
                continue
            }
            values[key] = try value(of: spec, in: section)
        }
        return values
    }

    private func value(of spec: ParameterSpec, in section: YAMLSection) throws(RecipeError) -> ParameterValue? {
        guard let node = section.node(spec.name), !node.isNull else { return nil }
        switch node {
        case .scalar(let scalar): return value(of: scalar, for: spec)
        case .sequence(let sequence) where spec.kind == .patterns:
            let texts = sequence.compactMap(\.scalar?.string)
            guard texts.count == sequence.count else { throw section.bad(spec.name, "must be a list of patterns") }
            return .list(texts.map { .text($0) })
        default:
            // A list of numbers is a gradient over layers in mergekit: to take it for one value per expert would be silent
            // nonsense.
            throw RecipeError(
                .unsupported, "gradients and filters of \(spec.name) are not supported by this version", file: file,
                line: section.line(of: spec.name),
                hint: spec.isPerExpert ? "give one value, or one under each model" : "give one value")
        }
    }

    private func value(of scalar: Node.Scalar, for spec: ParameterSpec) -> ParameterValue {
        // Python's YAML, in which mergekit's recipes are written, knows more words for true and false than we write.
        if spec.kind == .flag, scalar.style == .plain {
            switch scalar.string.lowercased() {
            case "true", "yes", "on": return .flag(true)
            case "false", "no", "off": return .flag(false)
            default: break
            }
        }
        return ParameterValue(parsing: scalar.string)
    }
}
