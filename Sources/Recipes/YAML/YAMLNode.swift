import TensorCore

/// A value of a YAML document and where it begins. An alias is the value that it names, with the place of that.
package struct YAMLNode: Sendable {
    package enum Content: Sendable {
        case scalar(YAMLScalar)
        case sequence([YAMLNode])
        /// In the order of the text, no key twice; `<<` is a key like others.
        case mapping([YAMLEntry])
    }

    package let content: Content
    package let position: TextPosition

    init(_ content: Content, at position: TextPosition) {
        self.content = content
        self.position = position
    }

    package var scalar: YAMLScalar? { if case .scalar(let scalar) = content { scalar } else { nil } }
    var isMapping: Bool { if case .mapping = content { true } else { false } }
    var isSequence: Bool { if case .sequence = content { true } else { false } }
    package var isNull: Bool { scalar?.isNull ?? false }
}

/// A key of a mapping with its value.
package struct YAMLEntry: Sendable {
    package let key: YAMLScalar
    /// Where the key stands, be it as an alias.
    package let position: TextPosition
    package let value: YAMLNode
}
