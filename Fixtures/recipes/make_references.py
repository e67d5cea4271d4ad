"""Merges toy models with mergekit, for the recipes in configs/.

Made with mergekit 0.1.5, transformers 5.23, torch 2.15, safetensors 0.8 (CPU):  python make_references.py

The toy models have the names of models.tsv and weights that follow from their names, so that they are not stored: the tests make
the same ones. An entry is  k 2^-14 + j 2^-28  with k from -512 to 511, the same for all models, and j from -2^22 to 2^22 - 1, of the
model itself; both come from SplitMix64, seeded with FNV-1a of the names. All sums are exact in F32.

mergekit rounds inputs to `dtype`; here it is float32 in every recipe, so that what is compared is the merge.
"""

import glob
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import yaml
from safetensors import safe_open
from safetensors.numpy import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
MASK = (1 << 64) - 1
WIDTH, MLP, VOCABULARY = 4, 6, 8
# Their masks come from a random number generator, which cannot be compared.
RANDOM = ("dare_ties", "dare_linear", "della", "della_linear")


def fnv(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & MASK
    return value


def mix(seed, index):
    z = (seed + (index + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def tensor(model, name, shape):
    common, own = fnv(name), fnv(f"{model}/{name}")
    values = [
        ((mix(common, i) >> 54) - 512) * 2.0**-14 + ((mix(own, i) >> 41) - 2**22) * 2.0**-28
        for i in range(int(np.prod(shape)))
    ]
    return np.array(values, np.float32).reshape(shape)


def shapes(layers):
    yield "lm_head.weight", (VOCABULARY, WIDTH)
    yield "model.embed_tokens.weight", (VOCABULARY, WIDTH)
    for i in range(layers):
        at = f"model.layers.{i}."
        yield at + "input_layernorm.weight", (WIDTH,)
        yield at + "mlp.down_proj.weight", (WIDTH, MLP)
        yield at + "mlp.gate_proj.weight", (MLP, WIDTH)
        yield at + "mlp.up_proj.weight", (MLP, WIDTH)
        yield at + "post_attention_layernorm.weight", (WIDTH,)
        yield at + "self_attn.k_proj.weight", (WIDTH // 2, WIDTH)
        yield at + "self_attn.o_proj.weight", (WIDTH, WIDTH)
        yield at + "self_attn.q_proj.weight", (WIDTH, WIDTH)
        yield at + "self_attn.v_proj.weight", (WIDTH // 2, WIDTH)
    yield "model.norm.weight", (WIDTH,)


def make_model(folder, model, layers):
    os.makedirs(folder)
    save_file({n: tensor(model, n, s) for n, s in shapes(layers)}, f"{folder}/model.safetensors", {"format": "pt"})
    config = dict(
        architectures=["LlamaForCausalLM"], model_type="llama", hidden_size=WIDTH, intermediate_size=MLP,
        num_hidden_layers=layers, num_attention_heads=2, num_key_value_heads=1, vocab_size=VOCABULARY,
        rms_norm_eps=1e-5, max_position_embeddings=64, tie_word_embeddings=False, torch_dtype="float32")
    json.dump(config, open(f"{folder}/config.json", "w"))
    tokenizer = dict(
        version="1.0", added_tokens=[], normalizer=None, pre_tokenizer={"type": "Whitespace"}, post_processor=None,
        decoder=None, truncation=None, padding=None,
        model=dict(type="WordLevel", unk_token="w0", vocab={f"w{i}": i for i in range(VOCABULARY)}))
    json.dump(tokenizer, open(f"{folder}/tokenizer.json", "w"))
    json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "w0"}, open(f"{folder}/tokenizer_config.json", "w"))


def is_kept(name, layers):
    parts = name.split(".")
    return "layers" not in parts or int(parts[2]) in {0, 1, layers // 3, layers // 2, layers - 2, layers - 1}


def main():
    tools = os.path.dirname(sys.executable)
    lines = []
    with tempfile.TemporaryDirectory() as work:
        for line in open(f"{HERE}/models.tsv"):
            if not line.startswith("#"):
                model, layers = line.split()
                make_model(f"{work}/{model}", model, int(layers))
        for path in sorted(glob.glob(f"{HERE}/configs/*.yaml")):
            name = os.path.splitext(os.path.basename(path))[0]
            documents = list(yaml.safe_load_all(open(path)))
            for document in documents:
                document["dtype"] = "float32"
                document.pop("out_dtype", None)
            config, out = f"{work}/{name}.yaml", f"{work}/out/{name}"
            yaml.safe_dump_all(documents, open(config, "w"), sort_keys=False)
            if len(documents) > 1:
                command = [f"{tools}/mergekit-multi", config, "--out-path", out, "-I", f"{work}/parts/{name}"]
            else:
                command = [f"{tools}/mergekit-yaml", config, out]
            subprocess.run(
                command + ["--no-write-model-card"], cwd=work, check=True, stdout=subprocess.DEVNULL,
                env=dict(os.environ, PYTHONHASHSEED="0", HF_HUB_OFFLINE="1"))
            layers = json.load(open(f"{out}/config.json"))["num_hidden_layers"]
            random = any(document["merge_method"] in RANDOM for document in documents)
            with safe_open(glob.glob(f"{out}/*.safetensors")[0], "np") as file:
                names = sorted(file.keys())
                if not random:
                    kept = {n: file.get_tensor(n) for n in names if is_kept(n, layers)}
                    save_file(kept, f"{HERE}/references/{name}.safetensors")
            lines.append(f"{name}\t{'random' if random else 'compared'}\t{len(names)}\t{layers}\n")
            print(lines[-1], end="", flush=True)
    with open(f"{HERE}/references.tsv", "w") as file:
        file.writelines(["# recipe\tkind\ttensors\tlayers\n"] + lines)


if __name__ == "__main__":
    main()
