import TensorCore

/// The classes of inputs, as their source says them.
public enum ClassLabels: Sendable, Hashable {
    /// Numbers from 0, in an array.
    case numbers([Int])
    /// What lines, folders or `.cls` members say: numbers or names.
    /// The names are those of all classes, where inputs of some were left out.
    case texts([String], names: [String]? = nil)

    /// The number of each input's class.
    ///
    /// Texts that all are numbers of classes are taken as such. Otherwise there have to be as many as classes, which they name in the order
    /// of their bytes, as torchvision's `ImageFolder` numbers folders.
    ///
    /// - Returns: nil when texts do not tell the classes.
    package func numbers(classCount: Int) -> [Int]? {
        guard case .texts(let texts, _) = self else {
            guard case .numbers(let numbers) = self else { return nil }
            return numbers
        }
        let numbers = texts.compactMap { Int($0) }
        if numbers.count == texts.count, numbers.allSatisfy({ 0..<classCount ~= $0 }) { return numbers }
        let names = names
        guard names.count == classCount else { return nil }
        let places = Dictionary(uniqueKeysWithValues: zip(names, 0...))
        return texts.compactMap { places[$0] }
    }

    /// The different texts, in the order of their bytes.
    var names: [String] {
        guard case .texts(let texts, let names) = self else { return [] }
        return Set(names ?? texts).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }
}
