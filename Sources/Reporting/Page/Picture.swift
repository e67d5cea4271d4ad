/// Something that is drawn.
protocol Drawing {
    /// In pixels.
    var width: Double { get }
    var height: Double { get }
    /// What kind of picture it is, of what, for people who do not see it.
    var description: String { get }
    func draw(in svg: inout Markup)
}

/// What pictures have in common.
enum Picture {
    /// Of a picture as wide as the page.
    static let width = 880.0
    static let letterSize = 13.0
    /// The least to which a picture as wide as the page shrinks, so that its letters stay legible.
    static let leastWidth = 720.0
}

extension Markup {
    /// Adds a picture as an image of SVG.
    ///
    /// It can stand by itself in a file, with the style of pictures.
    mutating func add(_ drawing: some Drawing, caption: String) {
        let least = drawing.width > Picture.width ? drawing.width : min(drawing.width, Picture.leastWidth)
        add(
            "svg",
            [
                "xmlns": "http://www.w3.org/2000/svg", "role": "img", "aria-label": .init(caption.cut(to: 200)),
                "viewBox": "0 0 \(drawing.width.length) \(drawing.height.length)", "width": .init(drawing.width),
                "height": .init(drawing.height), "style": "min-width:\(least.length)px",
            ]
        ) { svg in
            svg.add("desc", drawing.description)
            drawing.draw(in: &svg)
        }
    }
}
