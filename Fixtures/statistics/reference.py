"""Writes statistics.json: what `untangle stats` should measure of two small models, computed with PyTorch in float64.

    python3 Fixtures/statistics/reference.py        (needs torch, numpy, safetensors)

Of every matrix G only its trace and G v are kept, v_j = cos(j); of squared gradients F their sum and F . v over all entries in their order.
"""

import json
import math
import pathlib

import numpy
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

ROOT = pathlib.Path(__file__).parent.parent


class Recorder:
    """Linear layers that remember the rows that they read, without those of padding."""

    def __init__(self, parameters, mask=None):
        self.parameters, self.mask, self.grams, self.rows = parameters, mask, {}, {}

    def linear(self, name, x):
        rows = x.detach().reshape(-1, x.shape[-1]) if self.mask is None else x.detach()[self.mask]
        self.grams[name + ".weight"] = rows.T @ rows
        self.rows[name + ".weight"] = len(rows)
        return F.linear(x, self.parameters[name + ".weight"], self.parameters[name + ".bias"])

    def norm(self, name, x, eps):
        return F.layer_norm(x, x.shape[-1:], self.parameters[name + ".weight"], self.parameters[name + ".bias"], eps)


def attend(q, k, v, heads, keys=None):
    batch, tokens, width = q.shape
    q, k, v = (part.reshape(batch, tokens, heads, width // heads).transpose(1, 2) for part in (q, k, v))
    scores = q @ k.transpose(2, 3) / math.sqrt(width // heads)
    if keys is not None:
        scores = scores.masked_fill(~keys[:, None, None, :], -torch.inf)
    return (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, tokens, width)


def vision(recorder, images, config):
    """A pre-norm transformer under timm's names; the class token behind the last norm."""
    p, eps, side = recorder.parameters, config["layer_norm_eps"], config["patch_size"]
    x = F.conv2d(images, p["patch_embed.proj.weight"], p["patch_embed.proj.bias"], stride=side).flatten(2).transpose(1, 2)
    x = torch.cat([p["cls_token"].expand(len(x), -1, -1), x], 1) + p["pos_embed"]
    for block in (f"blocks.{number}." for number in range(config["num_hidden_layers"])):
        q, k, v = recorder.linear(block + "attn.qkv", recorder.norm(block + "norm1", x, eps)).chunk(3, -1)
        x = x + recorder.linear(block + "attn.proj", attend(q, k, v, config["num_attention_heads"]))
        hidden = F.gelu(recorder.linear(block + "mlp.fc1", recorder.norm(block + "norm2", x, eps)))
        x = x + recorder.linear(block + "mlp.fc2", hidden)
    return recorder.norm("norm", x, eps)[:, 0]


def text(recorder, ids, mask, types, config):
    """A post-norm transformer under the names of transformers; nothing is pooled."""
    p, eps, e = recorder.parameters, config["layer_norm_eps"], "embeddings."
    x = p[e + "word_embeddings.weight"][ids] + p[e + "position_embeddings.weight"][: ids.shape[1]]
    x = recorder.norm(e + "LayerNorm", x + p[e + "token_type_embeddings.weight"][types], eps)
    for block in (f"encoder.layer.{number}." for number in range(config["num_hidden_layers"])):
        parts = [recorder.linear(f"{block}attention.self.{name}", x) for name in ("query", "key", "value")]
        attended = attend(*parts, config["num_attention_heads"], keys=mask)
        x = recorder.norm(block + "attention.output.LayerNorm", x + recorder.linear(block + "attention.output.dense", attended), eps)
        hidden = F.gelu(recorder.linear(block + "intermediate.dense", x))
        x = recorder.norm(block + "output.LayerNorm", x + recorder.linear(block + "output.dense", hidden), eps)


def summary(numbers):
    """The trace and the product with v of a matrix, or of other numbers the sum and the inner product."""
    v = torch.cos(torch.arange(numbers.shape[-1], dtype=torch.float64))
    return {"trace": numbers.trace().item(), "product": (numbers @ v).tolist()}


def squares(gradient):
    flat = gradient.flatten()
    return {"sum": flat.sum().item(), "product": (flat @ torch.cos(torch.arange(len(flat), dtype=torch.float64))).item()}


def load(path):
    return {name: tensor.double() for name, tensor in load_file(ROOT / path).items() if tensor.is_floating_point()}


def grams(recorder):
    return {name: summary(gram / recorder.rows[name]) | {"rows": recorder.rows[name]} for name, gram in recorder.grams.items()}


def main():
    result = {}
    tiny = json.loads((ROOT / "suites/tiny/config.json").read_text())
    parameters = load("suites/tiny/expert_digits.safetensors")
    pixels = torch.as_tensor(numpy.load(ROOT / "suites/tiny/test_digits.npz")["images"]).double()
    images = (pixels.reshape(len(pixels), 1, *pixels.shape[-2:]) / 255 - tiny["image_mean"]) / tiny["image_std"]
    recorder = Recorder(parameters)
    vision(recorder, images[:70], tiny)
    result["vision"] = grams(recorder)

    head = load("suites/tiny/heads_digits.safetensors")
    for tensor in parameters.values():
        tensor.requires_grad_(True)
    sums = {name: torch.zeros_like(tensor, requires_grad=False) for name, tensor in parameters.items()}
    for image in images[:9]:
        logits = F.linear(vision(Recorder(parameters), image[None], tiny), head["weight"], head["bias"])[0]
        for probability, logarithm in zip(logits.softmax(-1).detach(), logits.log_softmax(-1)):
            for name, gradient in zip(parameters, torch.autograd.grad(logarithm, parameters.values(), retain_graph=True)):
                sums[name] += probability * gradient**2
    result["fisher"] = {name: squares(total.detach() / 9) for name, total in sums.items()}

    config = json.loads((ROOT / "networks/bert-mean/config.json").read_text())
    arrays = numpy.load(ROOT / "networks/bert-mean/inputs.npz")
    ids, mask = (torch.as_tensor(arrays[name].astype(numpy.int64)) for name in ("input_ids", "attention_mask"))
    types = torch.as_tensor(arrays["token_type_ids"].astype(numpy.int64)) if "token_type_ids" in arrays else torch.zeros_like(ids)
    recorder = Recorder(load("networks/bert-mean/expert.safetensors"), mask.bool())
    text(recorder, ids, mask.bool(), types, config)
    result["text"] = grams(recorder)
    (ROOT / "statistics/statistics.json").write_text(json.dumps(result, separators=(",", ":")) + "\n")


main()
