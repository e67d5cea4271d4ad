public import Networks

/// A task: its name and its frozen head.
public struct TaskHead: Sendable {
    public let name: String
    public let head: ClassificationHead

    public init(name: String, head: ClassificationHead) {
        self.name = name
        self.head = head
    }
}
