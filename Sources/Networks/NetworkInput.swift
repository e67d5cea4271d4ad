/// What a network takes.
public enum NetworkInput: Sendable, Hashable {
    case images(ImageShape)

    /// Checks inputs.
    ///
    /// - Throws: `NetworkError` `network.bad_images` when the images are not of the size that is taken.
    public func check(_ inputs: InputSet) throws(NetworkError) {
        switch (self, inputs) {
        case (.images(let shape), .images(let images)):
            guard images.shape == shape else {
                throw NetworkError(
                    .badImages, "the images are \(images.shape), but the model takes \(shape)",
                    hint: "sizes are [channels, height, width]; resize the images, or give the right config")
            }
        }
    }
}

/// The size of an image.
public struct ImageShape: Sendable, Hashable, CustomStringConvertible {
    public let channels: Int
    public let height: Int
    public let width: Int

    public init(channels: Int, height: Int, width: Int) {
        (self.channels, self.height, self.width) = (channels, height, width)
    }

    /// The numbers in one image; `Int.max` when they cannot be counted.
    public var elementCount: Int {
        [channels, height, width].reduce(1) { product, size in
            let (next, overflow) = product.multipliedReportingOverflow(by: size)
            return overflow ? .max : next
        }
    }

    /// As in "[3, 224, 224]".
    public var description: String { "[\(channels), \(height), \(width)]" }
}

/// Inputs of one kind, one after the other.
public enum InputSet: Sendable {
    case images(ImageSet)

    public var count: Int {
        switch self {
        case .images(let images): images.count
        }
    }

    /// At most so many of the inputs, evenly spread over all of them.
    package func spread(atMost limit: Int) -> InputSet {
        switch self {
        case .images(let images): .images(images.spread(atMost: limit))
        }
    }
}
