extension Report {
    /// Where the figures of a report come from: what was typed, which versions did it, and what they read.
    public struct Origin: Sendable, Hashable {
        /// As it can be typed again.
        public var command: String
        /// The text of the recipe, if there was one.
        public var recipe: String?
        /// Of this tool and of the libraries that compute.
        public var versions: [Version]
        public var inputs: [Input]

        public struct Version: Sendable, Hashable {
            public var name: String
            public var version: String

            public init(_ name: String, _ version: String) {
                self.name = name
                self.version = version
            }
        }

        /// A file that was read.
        public struct Input: Sendable, Hashable {
            public var path: String
            public var byteCount: Int
            /// In hexadecimal, behind the name of the function: `sha256:9f86…`.
            public var digest: String

            public init(_ path: String, byteCount: Int, digest: String) {
                self.path = path
                self.byteCount = byteCount
                self.digest = digest
            }
        }

        public init(command: String, recipe: String? = nil, versions: [Version], inputs: [Input]) {
            self.command = command
            self.recipe = recipe
            self.versions = versions
            self.inputs = inputs
        }
    }
}
