/// The version of the product, in one place.
public enum ToolVersion {
    public static let current = "0.1.0"

    /// The product and its version, for what results say of their making.
    package static let program = "Untangle \(current)"
}
