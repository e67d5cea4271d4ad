public import TensorCore

/// What came out of a piece of work, as a value that renderers put into words, documents and pages.
///
/// It has two kinds of readers. Documents (JSON, CSV) have what has a key, people (terminal, HTML, Markdown) what has a title; most
/// things have both.
public struct Report: Sendable, Hashable {
    public var title: String
    /// What is worth knowing first, in sentences for people, each about a figure that is shown below.
    public var summary: [String] = []
    /// Where the figures come from, for pages and Markdown.
    public var origin: Origin?
    /// What the work was given; documents begin with it.
    public var provenance: [Fact]
    public var sections: [Section]
    public var warnings: [Warning]
    /// A key that every document of this kind has. A report with such a mark tells of the latest run, and replaces an older one of
    /// its kind; pages then hold the document as well.
    public var mark: String?

    public init(
        title: String, provenance: [Fact] = [], sections: [Section] = [], warnings: [Warning] = [], mark: String? = nil
    ) {
        self.title = title
        self.provenance = provenance
        self.sections = sections
        self.warnings = warnings
        self.mark = mark
    }

    /// A part of a report.
    public enum Section: Sendable, Hashable {
        /// Values by their names. People see those that have a title, as a list.
        case facts([Fact])
        case table(Table)
        case matrix(Matrix)
        case series(Series)
        /// Bars and scatters are for pages, which draw them, and Markdown; the terminal and documents have their figures elsewhere.
        case bars(Bars)
        case scatter(Scatter)
        /// Lines for people, about what documents have as facts.
        case text([String])
        /// What belongs together, such as a table and the line that counts its rows: a terminal has no empty line in between.
        case group([Section])
        /// Reports about several things of a kind: documents have them as a list, people one after the other.
        indirect case reports(String, [Report])
        /// Where documents list the warnings; people were told before.
        case warnings
    }

    /// One value, and what it is: most are for documents alone.
    public struct Fact: Sendable, Hashable {
        public var column: Column
        public var value: Value

        /// Describes a value as a column describes those of a table.
        public init(_ key: String?, _ title: String?, _ kind: Kind, _ value: Value) {
            column = Column(key, title, kind)
            self.value = value
        }

        /// A value for documents alone.
        public init(_ key: String?, _ value: Value) { self.init(key, nil, .text, value) }
    }
}
