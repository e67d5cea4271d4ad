/// The key-value texts that a checkpoint carries, in the order of the file.
public struct Metadata: Sendable, Equatable {
    public private(set) var entries: [Entry] = []

    public struct Entry: Sendable, Equatable {
        public let key: String
        public let value: String

        public init(key: String, value: String) {
            self.key = key
            self.value = value
        }
    }

    public init() {}

    /// Takes entries whose keys are known to differ, without comparing each with all others.
    package init(uniqueEntries entries: [Entry]) { self.entries = entries }

    public var isEmpty: Bool { entries.isEmpty }

    /// The value of a key, compared by its bytes; setting an existing key keeps its place.
    public subscript(key: String) -> String? {
        get { entries.first { $0.key.utf8.elementsEqual(key.utf8) }?.value }
        set {
            let place = entries.firstIndex { $0.key.utf8.elementsEqual(key.utf8) }
            switch (place, newValue) {
            case (let place?, let value?): entries[place] = Entry(key: key, value: value)
            case (let place?, nil): entries.remove(at: place)
            case (nil, let value?): entries.append(Entry(key: key, value: value))
            case (nil, nil): break
            }
        }
    }
}
