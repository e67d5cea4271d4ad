import CYAML
import TensorCore

/// What libyaml reports of a text, one after the other; keys and values of a mapping take turns.
enum YAMLEvent {
    case alias(String)
    case scalar(YAMLScalar, anchor: String?)
    case sequenceStart(anchor: String?)
    case mappingStart(anchor: String?)
    /// Of the sequence or mapping that began last and has not ended.
    case collectionEnd
    /// The beginning or end of a document, or the beginning of the text.
    case boundary
    case textEnd
}

/// Reads a text with libyaml.
final class YAMLEventReader {
    private let text: String
    private let bytes: UnsafeMutableBufferPointer<UInt8>
    private let parser: UnsafeMutablePointer<yaml_parser_t>

    init(_ text: String) throws(YAMLError) {
        self.text = text
        // libyaml takes no null pointer, as the address of no bytes may be.
        bytes = .allocate(capacity: max(1, text.utf8.count))
        let end = bytes.initialize(fromContentsOf: text.utf8)
        parser = .allocate(capacity: 1)
        parser.initialize(to: yaml_parser_t())
        guard yaml_parser_initialize(parser) == 1 else { throw YAMLError.noMemory }
        yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
        // Safety: this object owns the bytes and the parser, which holds pointers to the former and to itself.
        yaml_parser_set_input_string(parser, bytes.baseAddress, end)
    }

    deinit {
        yaml_parser_delete(parser)
        parser.deallocate()
        bytes.deallocate()
    }

    /// The next event and where it begins; nothing may be asked for behind the end of the text.
    func next() throws(YAMLError) -> (event: YAMLEvent, position: TextPosition) {
        var event = yaml_event_t()
        defer { yaml_event_delete(&event) }
        guard yaml_parser_parse(parser, &event) == 1 else { throw YAMLError(of: parser.pointee, in: text) }
        return (YAMLEvent(event), TextPosition(event.start_mark))
    }
}

extension YAMLEvent {
    fileprivate init(_ event: yaml_event_t) {
        switch event.type {
        case YAML_ALIAS_EVENT: self = .alias(text(event.data.alias.anchor) ?? "")
        case YAML_SCALAR_EVENT:
            let scalar = event.data.scalar
            // A scalar may hold NUL, so it is not ended by one.
            let bytes = UnsafeBufferPointer(start: scalar.value, count: scalar.length)
            self = .scalar(
                YAMLScalar(
                    text: String(decoding: bytes, as: UTF8.self), style: YAMLScalar.Style(scalar.style),
                    tag: text(scalar.tag)), anchor: text(scalar.anchor))
        case YAML_SEQUENCE_START_EVENT: self = .sequenceStart(anchor: text(event.data.sequence_start.anchor))
        case YAML_MAPPING_START_EVENT: self = .mappingStart(anchor: text(event.data.mapping_start.anchor))
        case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT: self = .collectionEnd
        case YAML_STREAM_END_EVENT: self = .textEnd
        default: self = .boundary
        }
    }
}

extension YAMLScalar.Style {
    fileprivate init(_ style: yaml_scalar_style_t) {
        switch style {
        case YAML_SINGLE_QUOTED_SCALAR_STYLE: self = .singleQuoted
        case YAML_DOUBLE_QUOTED_SCALAR_STYLE: self = .doubleQuoted
        case YAML_LITERAL_SCALAR_STYLE: self = .literal
        case YAML_FOLDED_SCALAR_STYLE: self = .folded
        default: self = .plain
        }
    }
}

extension TextPosition {
    init(_ mark: yaml_mark_t) { self.init(line: mark.line + 1, column: mark.column + 1) }
}

private func text(_ pointer: UnsafePointer<UInt8>?) -> String? { pointer.map { String(cString: $0) } }
