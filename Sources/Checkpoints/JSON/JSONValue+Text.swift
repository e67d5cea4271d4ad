extension JSONValue {
    /// The value in a form that is the same for the same value, whatever the order of keys and the spaces: to be compared and shown.
    public var comparableText: String {
        switch kind {
        case .null: "null"
        case .true: "true"
        case .false: "false"
        case .number: double.map { "\($0)" } ?? ""
        case .string: string ?? ""
        case .array: "[" + (array.map { $0.map(\.comparableText) } ?? []).joined(separator: ", ") + "]"
        case .object:
            "{"
                + (object.map { $0.map { "\($0.key): \($0.value.comparableText)" } } ?? []).sorted()
                .joined(separator: ", ") + "}"
        }
    }
}
