import Checkpoints
import TensorCore

/// How a conversation becomes a prompt: what `chat_template` of a recipe asks for.
public enum ChatTemplate: Sendable, Hashable {
    /// The one that most of the models have.
    case auto
    /// Jinja text.
    case text(String)

    /// Reads the value of the key: `auto`, the name of a template that is built in, or Jinja text.
    ///
    /// - Throws: `input.bad_value` for a short text without a brace, which is a mistyped name and no template.
    public init(_ value: String) throws(InputError) {
        if value == "auto" {
            self = .auto
        } else if let text = Self.builtIn[value] {
            self = .text(text)
        } else if value.utf8.count < 20, !value.utf8.contains(UInt8(ascii: "{")) {
            let names = Self.builtIn.keys.sorted()
            let nearest = nearestName(to: value, among: names + ["auto"]).map { "did you mean \"\($0)\"? " } ?? ""
            throw InputError(
                .badValue, "there is no chat template \"\(value)\"",
                hint: "\(nearest)write auto, \(names.joined(separator: ", ")), or a Jinja template")
        } else {
            self = .text(value)
        }
    }

    /// The names mergekit has, with templates of our own for the formats that the models' authors document.
    static let builtIn: [String: String] = [
        "alpaca": """
        {%- for message in messages -%}
        {%- if message['role'] == 'system' -%}{{ message['content'] + '\\n\\n' }}
        {%- elif message['role'] == 'user' -%}{{ '### Instruction:\\n' + message['content'] + '\\n\\n' }}
        {%- elif message['role'] == 'assistant' -%}{{ '### Response:\\n' + message['content'] + eos_token + '\\n\\n' }}
        {%- endif -%}
        {%- endfor -%}
        {%- if add_generation_prompt -%}{{ '### Response:\\n' }}{%- endif -%}
        """,
        "chatml": """
        {%- for message in messages -%}
        {{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
        {%- endfor -%}
        {%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
        """,
        "exaone": """
        {%- for message in messages -%}
        {%- if loop.first and message['role'] != 'system' -%}{{ '[|system|][|endofturn|]\\n' }}{%- endif -%}
        {{ '[|' + message['role'] + '|]' + message['content'] }}
        {%- if message['role'] == 'user' -%}{{ '\\n' }}{%- else -%}{{ '[|endofturn|]\\n' }}{%- endif -%}
        {%- endfor -%}
        {%- if add_generation_prompt -%}{{ '[|assistant|]' }}{%- endif -%}
        """,
        "llama3": """
        {{- bos_token -}}
        {%- for message in messages -%}
        {{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
        {%- endfor -%}
        {%- if add_generation_prompt -%}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif -%}
        """,
        "mistral": """
        {{- bos_token -}}
        {%- set waiting = namespace(text='') -%}
        {%- for message in messages -%}
        {%- if message['role'] == 'system' -%}{%- set waiting.text = message['content'] | trim + '\\n\\n' -%}
        {%- elif message['role'] == 'assistant' -%}{{ ' ' + message['content'] | trim + eos_token }}
        {%- else -%}
        {{ '[INST] ' + waiting.text + message['content'] | trim + ' [/INST]' }}
        {%- set waiting.text = '' -%}
        {%- endif -%}
        {%- endfor -%}
        """,
    ]

    private static let textName = "chat_template.jinja"
    private static let configName = "tokenizer_config.json"

    /// The Jinja text to write; nil when no model has any.
    ///
    /// - Parameter models: the files of all models, the donor first.
    func text(of models: [CompanionFiles]) -> String? {
        guard case .auto = self else {
            if case .text(let text) = self { return text }
            return nil
        }
        var counts: [(text: String, count: Int)] = []
        for text in models.compactMap(Self.template(in:)) {
            if let place = counts.firstIndex(where: { $0.text == text }) {
                counts[place].count += 1
            } else {
                counts.append((text, 1))
            }
        }
        let most = counts.map(\.count).max()
        return counts.first { $0.count == most }?.text
    }

    /// The template that a model comes with; as in transformers a file of its own goes before the tokenizer's settings.
    private static func template(in files: CompanionFiles) -> String? {
        if let file = files.copied.first(where: { $0.name == textName }), let mapped = try? MappedFile(file.path) {
            return mapped.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
        }
        guard let file = files.copied.first(where: { $0.name == configName }) else { return nil }
        return JSONDocument.read(file.path)?["chat_template"]?.string
    }

    /// The files that a template is written into: a file of its own, and the tokenizer's settings for older readers.
    ///
    /// - Returns: names and contents that replace or add to those of `files`.
    static func files(with text: String, replacing files: CompanionFiles) throws -> [(name: String, contents: [UInt8])]
    {
        var result: [(name: String, contents: [UInt8])] = [(textName, Array(text.utf8))]
        for name in [configName, "chat_template.json"] {
            guard let file = files.copied.first(where: { $0.name == name }) else { continue }
            let old = try MappedFile(file.path).withUnsafeBytes { Array($0) }
            var editor = try JSONEditor(old)
            try editor.set(["chat_template"], to: JSONEditor.quoted(text))
            result.append((name, editor.text))
        }
        return result
    }
}
