"""Writes llama/: a tiny Llama 3 of random weights as transformers saves it, and expected.json: what llama.cpp's converter makes of it.

    make_model.py LLAMA_CPP

With torch 2.15, transformers 5.24, and llama.cpp as llama-cpp-python 0.3.36 has it. The converter knows tokenizers by what they make of a
text, this one's splitting by its expression, so the name that it should find is given to it.
"""

import hashlib
import json
import pathlib
import sys
import tempfile

llama_cpp = pathlib.Path(sys.argv[1])
sys.path[:0] = [str(llama_cpp), str(llama_cpp / "gguf-py")]

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import conversion
import gguf

folder = pathlib.Path(__file__).with_name("llama")
torch.manual_seed(20)

alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())[:40]
merges = [("a", "b"), ("c", "d"), ("ab", "cd")]
vocabulary = {token: number for number, token in enumerate(alphabet + ["ab", "cd", "abcd"])}
vocabulary |= {letter: len(vocabulary) + place for place, letter in enumerate(l for l in "abcd" if l not in vocabulary)}
tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
expression = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
    [pre_tokenizers.Split(Regex(expression), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.add_special_tokens(["<|begin|>", "<|end|>"])
tokenizer.add_tokens([AddedToken("<tool>", special=False, normalized=True)])
begin, end = tokenizer.token_to_id("<|begin|>"), tokenizer.token_to_id("<|end|>")
tokenizer.post_processor = processors.TemplateProcessing(
    single="<|begin|> $A", pair="<|begin|> $A <|begin|> $B", special_tokens=[("<|begin|>", begin)]
)
PreTrainedTokenizerFast(
    tokenizer_object=tokenizer, bos_token="<|begin|>", eos_token="<|end|>",
    chat_template="{% for m in messages %}{{ m.content }}{% endfor %}",
).save_pretrained(folder)

model = LlamaForCausalLM(
    LlamaConfig(
        vocab_size=len(tokenizer.get_vocab()) + 2, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=1024, rms_norm_eps=1e-5,
        bos_token_id=begin, eos_token_id=end, tie_word_embeddings=False,
        rope_parameters={
            "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 256,
        },
    )
)
for weight in model.parameters():
    torch.nn.init.normal_(weight, std=0.05)
model.to(torch.bfloat16).save_pretrained(folder)
(folder / "generation_config.json").unlink(missing_ok=True)

expected = {}
for name, kind in [("F32", "ALL_F32"), ("BF16", "MOSTLY_BF16"), ("F16", "MOSTLY_F16"), ("Q8_0", "MOSTLY_Q8_0")]:
    with tempfile.TemporaryDirectory() as output:
        path = pathlib.Path(output) / "model.gguf"
        converter = conversion.get_model_class("LlamaForCausalLM")(folder, gguf.LlamaFileType[kind], path)
        converter.get_vocab_base_pre = lambda tokenizer: "llama-bpe"
        converter.write()
        reader = gguf.GGUFReader(path)
        expected[name] = {
            "metadata": {
                key: {"types": [kind.name for kind in field.types], "value": field.contents()}
                for key, field in reader.fields.items()
                if not key.startswith("GGUF.")
            },
            "tensors": {
                tensor.name: {
                    "dtype": tensor.tensor_type.name, "shape": [int(dim) for dim in reversed(tensor.shape)],
                    "sha256": hashlib.sha256(tensor.data.tobytes()).hexdigest(),
                }
                for tensor in reader.tensors
            },
        }
for name in ["BF16", "F16", "Q8_0"]:
    # The rest is that of F32.
    expected[name]["metadata"] = {"general.file_type": expected[name]["metadata"]["general.file_type"]}
(folder.parent / "llama.json").write_text(json.dumps(expected, indent=1) + "\n")
