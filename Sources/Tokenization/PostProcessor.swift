/// What is put around the pieces of a text.
struct PostProcessor: Sendable {
    /// A special token or the pieces of the text.
    private enum Item {
        case token(id: Int32, type: Int32)
        case text(type: Int32?)
    }

    private let items: [Item]

    /// How many special tokens a text gets.
    var addedCount: Int {
        items.count { if case .token = $0 { true } else { false } }
    }

    /// The special tokens.
    var ids: [Int32] {
        items.compactMap { if case .token(let id, _) = $0 { id } else { nil } }
    }

    /// Adds nothing.
    init() { items = [.text(type: nil)] }

    /// Reads a post-processor of a tokenizer's file, as far as it concerns single texts.
    init(_ component: Component) throws(TokenizerError) {
        switch try component.type() {
        // They change where pieces stand in the text, which is not told here.
        case "ByteLevel": items = [.text(type: nil)]
        case "BertProcessing": items = try Self.around(component, type: nil)
        case "RobertaProcessing": items = try Self.around(component, type: 0)
        case "TemplateProcessing": items = try Self.template(component)
        case "Sequence":
            var items: [Item] = [.text(type: nil)]
            for step in try component.required("processors").elements() {
                let inner = items
                let outer = try PostProcessor(step).items
                if inner.count > 1, outer.count > 1 {
                    throw step.error(.unsupported, "adds tokens to a text that has got its special tokens before")
                }
                items = outer.flatMap { item -> [Item] in
                    guard case .text(let type) = item else { return [item] }
                    return inner.map { item in
                        guard case .text(let own) = item else { return item }
                        return .text(type: type ?? own)
                    }
                }
            }
            self.items = items
        case let type:
            throw component.error(.unsupported, "is the post-processor \(type.debugDescription), which is not known")
        }
    }

    /// Reads `cls` and `sep`, each a token and its number.
    private static func around(_ component: Component, type: Int32?) throws(TokenizerError) -> [Item] {
        func token(_ key: String) throws(TokenizerError) -> Item {
            let place = try component.required(key)
            let pair = try place.elements()
            guard pair.count == 2 else { throw place.error(.badFile, "is not a token and its number") }
            return .token(id: try pair[1].id(), type: 0)
        }
        return [try token("cls"), .text(type: type), try token("sep")]
    }

    /// Reads `single`, a list of tokens and the text, and `special_tokens`, which the tokens are.
    private static func template(_ component: Component) throws(TokenizerError) -> [Item] {
        let specials = try component.required("special_tokens")
        var items: [Item] = []
        for piece in try component.required("single").elements() {
            if let text = piece["Sequence"] {
                guard try text.required("id").string() == "A" else {
                    throw text.error(.unsupported, "stands for a second text, and there is one")
                }
                items.append(.text(type: try text.required("type_id").id()))
                continue
            }
            let token = try piece.required("SpecialToken")
            let type = try token.required("type_id").id()
            for id in try specials.required(try token.required("id").string()).required("ids").elements() {
                items.append(.token(id: try id.id(), type: type))
            }
        }
        return items
    }

    /// The pieces of a text with what is put around them.
    func encoding(of ids: [Int32], addSpecialTokens: Bool) -> Encoding {
        var encoding = Encoding()
        for item in items {
            switch item {
            case .text(let type): encoding.append(ids, type: type ?? 0)
            case .token(let id, let type): if addSpecialTokens { encoding.append([id], type: type) }
            }
        }
        return encoding
    }
}
