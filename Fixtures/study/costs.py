"""What one expert costs in the sizes of published models: CLIP ViT-B/32 and MiniLM-L6, with random weights, which cost what trained ones do."""
import json
import time

import numpy as np

from tables import Table


def add_arguments(parser):
    group = parser.add_argument_group("costs of real models")
    group.add_argument("--costs", action="store_true", help="measure these alone; leave the machine alone meanwhile (about ten minutes)")
    group.add_argument("--cost-steps", type=int, default=10, metavar="N", help="steps to time (default: 10)")
    group.add_argument("--cost-model", action="append", choices=list(MODELS), help="this model alone; repeatable")


def table(tool, arguments):
    made = Table("costs", ["model", "parameters", "batch", "a step, s", "100 steps, min", "250 steps, min", "before the steps, s", "memory"])
    for name in arguments.cost_model or MODELS:
        title, make, batches, count = MODELS[name]
        folder = arguments.out / "costs" / name
        if not (folder / "config.json").exists():
            print(f"making {folder}", flush=True)
            make(folder, count)
        header = json.loads((folder / "base.safetensors").open("rb").read(2_000_000)[8:].split(b"}}")[0] + b"}}")
        parameters = sum(int(np.prod(entry["shape"])) for entry in header.values())
        for batch in batches:
            started = time.time()
            expert = tool.run(
                "resolve", "--base", folder / "base.safetensors",
                *[word for task in "ab" for word in ("--expert", f"{task}={folder}/expert.safetensors",
                                                     "--head", f"{task}={folder}/head_{task}.npz")],
                "--only-expert", "a", "--auxiliary", folder / "auxiliary.npz", "--steps", arguments.cost_steps, "--batch-size", batch,
                "--output", folder / "resolved", "--force")["experts"][0]
            step = expert["seconds"] / arguments.cost_steps
            made.row(title, f"{parameters / 1e6:.1f} M", batch, f"{step:.2f}", f"{100 * step / 60:.1f}", f"{250 * step / 60:.1f}",
                     f"{time.time() - started - expert['seconds']:.0f}", f"{expert['expected_bytes'] / 2**30:.1f} GiB")
            print(made.text + "\n", flush=True)
    made.say(f"{arguments.cost_steps} steps were timed. Before the steps, base and expert are run once over as many auxiliary inputs as the steps use.")
    return made


class Weights:
    """Random tensors by name, in the sizes of a model."""

    def __init__(self):
        self.generator = np.random.default_rng(0)
        self.tensors = {}

    def matrix(self, name, *shape):
        self.tensors[name] = 0.02 * self.generator.standard_normal(shape, dtype=np.float32)

    def linear(self, name, outputs, inputs):
        self.matrix(name + ".weight", outputs, inputs)
        self.tensors[name + ".bias"] = np.zeros(outputs, np.float32)

    def norm(self, name, width):
        self.tensors[name + ".weight"] = np.ones(width, np.float32)
        self.tensors[name + ".bias"] = np.zeros(width, np.float32)

    def save(self, folder, config, feature, auxiliary):
        """Base, an expert that is a little off it, two heads of 16 classes, auxiliary inputs, and last the configuration."""
        folder.mkdir(parents=True, exist_ok=True)
        _safetensors(folder / "base.safetensors", self.tensors)
        moved = {name: values * np.float32(1.02) if values.ndim == 2 else values for name, values in self.tensors.items()}
        _safetensors(folder / "expert.safetensors", moved)
        for task in "ab":
            weight = 0.1 * self.generator.standard_normal((16, feature), dtype=np.float32)
            np.savez(folder / f"head_{task}.npz", weight=weight, bias=np.zeros(16, np.float32))
        np.savez(folder / "auxiliary.npz", **auxiliary(self.generator))
        (folder / "config.json").write_text(json.dumps(config))


def _safetensors(path, tensors):
    header, place = {}, 0
    for name, values in tensors.items():
        header[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": [place, place + values.nbytes]}
        place += values.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for values in tensors.values():
            file.write(values.tobytes())


def clip_vit_b32(folder, count):
    """The image tower of CLIP ViT-B/32, as transformers names it."""
    w, width = Weights(), 768
    top = "vision_model."
    w.matrix(top + "embeddings.class_embedding", width)
    w.matrix(top + "embeddings.patch_embedding.weight", width, 3, 32, 32)
    w.matrix(top + "embeddings.position_embedding.weight", 50, width)
    w.norm(top + "pre_layrnorm", width)
    w.norm(top + "post_layernorm", width)
    for layer in range(12):
        block = f"{top}encoder.layers.{layer}."
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            w.linear(block + "self_attn." + part, width, width)
        w.norm(block + "layer_norm1", width)
        w.norm(block + "layer_norm2", width)
        w.linear(block + "mlp.fc1", 4 * width, width)
        w.linear(block + "mlp.fc2", width, 4 * width)
    w.matrix("visual_projection.weight", 512, width)
    config = {
        "model_type": "clip_vision_model", "hidden_size": width, "num_hidden_layers": 12, "num_attention_heads": 12,
        "intermediate_size": 4 * width, "image_size": 224, "patch_size": 32, "num_channels": 3, "projection_dim": 512,
        "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
    }
    w.save(folder, config, 512, lambda g: {"images": g.integers(0, 256, (count, 3, 224, 224), dtype=np.uint8)})


def minilm_l6(folder, count):
    """MiniLM-L6: BERT with 6 layers of width 384; texts of 32 tokens."""
    w, width, tokens = Weights(), 384, 32
    for name, rows in (("word", 30522), ("position", 512), ("token_type", 2)):
        w.matrix(f"embeddings.{name}_embeddings.weight", rows, width)
    w.norm("embeddings.LayerNorm", width)
    for layer in range(6):
        block = f"encoder.layer.{layer}."
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            w.linear(block + part, width, width)
        w.norm(block + "attention.output.LayerNorm", width)
        w.linear(block + "intermediate.dense", 4 * width, width)
        w.linear(block + "output.dense", width, 4 * width)
        w.norm(block + "output.LayerNorm", width)
    config = {
        "model_type": "bert", "hidden_size": width, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 4 * width,
        "hidden_act": "gelu", "layer_norm_eps": 1e-12, "max_position_embeddings": 512, "vocab_size": 30522, "type_vocab_size": 2,
    }
    w.save(folder, config, width, lambda g: {
        "input_ids": g.integers(1000, 30000, (count, tokens), dtype=np.int32), "attention_mask": np.ones((count, tokens), np.int32)})


MODELS = {
    "vit-b32": ("CLIP ViT-B/32, 224 x 224", clip_vit_b32, (32, 64), 640),
    "minilm": ("MiniLM-L6, 32 tokens", minilm_l6, (32, 64), 1280),
}
