"""Compares folding and merging of adapters with peft's own, and lets peft load what is extracted and merged.

usage: adapters.py FOLDER

Toy models of one layer of every kind get adapters of every kind with random factors; `untangle lora fold` must come within
1e-6 of `merge_and_unload`, relative to the largest number of a tensor. The last line says how many tensors were compared.
"""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers.pytorch_utils import Conv1D

warnings.filterwarnings("ignore")
folder = Path(sys.argv[1])
torch.manual_seed(15)
compared = 0


def untangle(*arguments, expect=0):
    done = subprocess.run(["untangle", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != expect:
        raise SystemExit(f"untangle {' '.join(map(str, arguments))} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


class Experts(torch.nn.Module):
    """Stacks of experts' weights, `[experts, outputs, inputs]`, or the other way round as gpt-oss has them."""

    def __init__(self, is_transposed=False, width=12, inner=20):
        super().__init__()
        self.is_transposed = is_transposed
        up, down = (3, 2 * inner, width), (3, width, inner)
        turned = lambda shape: (shape[0], shape[2], shape[1]) if is_transposed else shape
        self.gate_up_proj = torch.nn.Parameter(torch.randn(turned(up)))
        self.down_proj = torch.nn.Parameter(torch.randn(turned(down)))

    def forward(self, x):
        return x


class Layer(torch.nn.Module):
    def __init__(self, is_transposed=False, inner=20):
        super().__init__()
        self.q_proj = torch.nn.Linear(24, 40)
        self.k_proj = torch.nn.Linear(24, 24, bias=False)
        self.attention = torch.nn.MultiheadAttention(24, 4)
        self.c_fc = Conv1D(48, 24)
        self.c_proj = Conv1D(24, 24)
        self.conv1 = torch.nn.Conv1d(6, 10, 3)
        self.conv2 = torch.nn.Conv2d(6, 10, (3, 2))
        self.point = torch.nn.Conv2d(6, 10, 1)
        self.experts = Experts(is_transposed, inner=inner)
        self.norm = torch.nn.LayerNorm(24)

    def forward(self, x):
        return x


class Model(torch.nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.embed = torch.nn.Embedding(50, 24)
        self.layers = torch.nn.ModuleList([Layer(**options) for _ in range(2)])
        self.head = torch.nn.Linear(24, 5)

    def forward(self, x):
        return x


def state(model):
    return {name: tensor.detach().clone().contiguous() for name, tensor in model.state_dict().items()}


def difference(a, b):
    a, b = a.double(), b.double()
    return ((a - b).abs().max() / b.abs().max().clamp(min=1e-30)).item()


def compare(path, wanted, tolerance):
    global compared
    found = load_file(path)
    assert found.keys() == wanted.keys(), found.keys() ^ wanted.keys()
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype and found[name].shape == tensor.shape, name
        error = difference(found[name], tensor)
        assert error <= tolerance, f"{path}: {name} is off by {error}"
        compared += 1


def case(name, dtype=torch.float32, tolerance=1e-6, model={}, adapters=1, to_bin=False, **config):
    """An adapter with random factors, folded by both."""
    base = folder / f"{name}-base.safetensors"
    network = Model(**model).to(dtype)
    save_file(state(network), base)
    paths = []
    for number in range(adapters):
        network = Model(**model).to(dtype)
        network.load_state_dict(load_file(base))
        peft = get_peft_model(network, LoraConfig(**config))
        for key, parameter in peft.named_parameters():
            if "lora_" in key or "modules_to_save" in key or parameter.requires_grad:
                scale = parameter.detach().abs().mean() if "magnitude" in key else 1
                noise = torch.randn_like(parameter) * 0.3
                parameter.data = parameter.data * (1 + noise.abs()) if "magnitude" in key else noise * scale
        path = folder / f"{name}-{number}"
        peft.save_pretrained(path, safe_serialization=not to_bin)
        paths.append(path)
    network = Model(**model).to(dtype)
    network.load_state_dict(load_file(base))
    for number, path in enumerate(paths):
        if number == 0:
            peft = PeftModel.from_pretrained(network, path, adapter_name="0")
        else:
            peft.load_adapter(path, adapter_name=str(number))
    wanted = state(peft.merge_and_unload(adapter_names=[str(n) for n in range(adapters)]))
    # peft 0.21 adds the change of an attention's output projection twice; its forward pass does not.
    for key in wanted:
        if key.endswith("attention.out_proj.weight"):
            wanted[key] = (wanted[key] + load_file(base)[key]) / 2
    output = folder / f"{name}.safetensors"
    untangle("lora", "fold", base, *paths, "--output", output)
    compare(output, wanted, tolerance)
    # What is merged of a view is what is merged of the folded file.
    source = "+".join(map(str, [base, *paths]))
    for made, inputs in [("view", [source, base]), ("file", [output, base])]:
        untangle("merge", "--method", "linear", *inputs, "--output", folder / f"{name}-{made}-merged.safetensors")
    a, b = [(folder / f"{name}-{made}-merged.safetensors").read_bytes() for made in ["view", "file"]]
    assert a == b, name


LINEAR = ["q_proj", "k_proj"]
case("plain", target_modules=LINEAR, r=4, lora_alpha=6)
case("bin", target_modules=LINEAR, r=4, lora_alpha=6, to_bin=True)
case("rslora", target_modules=LINEAR, r=8, lora_alpha=6, use_rslora=True)
case("patterns", target_modules=LINEAR, r=4, lora_alpha=6, rank_pattern={"q_proj": 2, r"layers\.1\.k_proj": 7},
     alpha_pattern={"layers.0.q_proj": 5, "^layers.1.*": 3})
case("regex", target_modules=r"layers\.1\.(q|k)_proj", r=3, lora_alpha=6)
case("dora", target_modules=LINEAR, r=4, lora_alpha=6, use_dora=True)
case("embedding", target_modules=["embed", "q_proj"], r=4, lora_alpha=6)
case("embedding-dora", target_modules=["embed"], r=4, lora_alpha=6, use_dora=True)
case("conv1d", target_modules=["c_fc", "c_proj"], r=4, lora_alpha=6, fan_in_fan_out=True)
case("conv1d-dora", target_modules=["c_fc", "c_proj"], r=4, lora_alpha=6, fan_in_fan_out=True, use_dora=True)
case("mixed", target_modules=["c_fc", "q_proj"], r=4, lora_alpha=6, fan_in_fan_out=True)
case("convolutions", target_modules=["conv1", "conv2", "point"], r=4, lora_alpha=6)
case("convolutions-dora", target_modules=["conv1", "conv2", "point"], r=4, lora_alpha=6, use_dora=True)
case("attention", target_modules=["attention"], r=4, lora_alpha=6)
case("bias", target_modules=LINEAR, r=4, lora_alpha=6, bias="lora_only")
case("all-biases", target_modules=LINEAR, r=4, lora_alpha=6, bias="all")
case("lora-bias", target_modules=["q_proj"], r=4, lora_alpha=6, lora_bias=True)
case("saved", target_modules=LINEAR, r=4, lora_alpha=6, modules_to_save=["head", "norm"])
EXPERTS = dict(target_modules=[], r=2, lora_alpha=6)
case("experts", target_parameters=["experts.gate_up_proj", "experts.down_proj"], **EXPERTS)
case("experts-down", target_parameters=["experts.down_proj"], **EXPERTS)
case("experts-turned", target_parameters=["experts.gate_up_proj", "experts.down_proj"],
     model=dict(is_transposed=True), **EXPERTS)
case("experts-square", target_parameters=["experts.gate_up_proj", "experts.down_proj"],
     model=dict(is_transposed=True, inner=12), **EXPERTS)
case("bf16", dtype=torch.bfloat16, tolerance=2**-7, target_modules=LINEAR, r=4, lora_alpha=6)
case("several", adapters=3, target_modules=LINEAR, r=4, lora_alpha=6)
case("several-dora", adapters=2, target_modules=LINEAR, r=4, lora_alpha=6, use_dora=True)


def extraction(name, *options, tolerance, **config):
    """A model that learnt with low rank comes back from the adapter that is made of it, in peft as well."""
    base, expert = folder / f"{name}-base.safetensors", folder / f"{name}-expert.safetensors"
    network = Model()
    start = state(network)
    learnt = dict(start)
    for key, tensor in start.items():
        if tensor.ndim == 1:
            learnt[key] = tensor + 0.1
        elif "experts" not in key and "in_proj" not in key:
            rows = tensor.flatten(1)
            learnt[key] = tensor + (torch.randn(len(rows), 3) @ torch.randn(3, rows.shape[1])).view(tensor.shape) * 0.1
    # What peft has no place for, merges twice, or takes for stored the other way round, as there is no telling of a square.
    for key in learnt:
        if key.endswith("in_proj_bias") or "attention.out_proj" in key or "k_proj" in key:
            learnt[key] = start[key]
    save_file(start, base)
    save_file(learnt, expert)
    path = folder / f"{name}-adapter"
    (folder / "config.json").write_text(json.dumps(config))
    untangle("lora", "extract", "--base", base, expert, "--output", path, *options)
    (folder / "config.json").unlink()
    compare(untangled(f"{base}+{path}", folder / f"{name}-folded.safetensors"), learnt, tolerance)
    network.load_state_dict(start)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        merged = state(PeftModel.from_pretrained(network, path).merge_and_unload())
    assert not [w for w in caught if "missing" in str(w.message) or "unexpected" in str(w.message)], [str(w.message) for w in caught]
    save_file(merged, folder / f"{name}-peft.safetensors")
    compare(folder / f"{name}-peft.safetensors", learnt, tolerance)


def merging(method, ranks=(4, 4, 4), weights=(1, 0.5, -0.7), tolerance=2e-6, **options):
    """Adapters that peft combines, and that the tool merges into one which peft loads, do the same."""
    name = f"merging-{method}"
    base = folder / f"{name}-base.safetensors"
    save_file(state(Model()), base)
    fresh = lambda: (network := Model(), network.load_state_dict(load_file(base)))[0]
    config = dict(target_modules=["q_proj", "k_proj", "embed", "conv2", "point"], lora_alpha=6)
    paths = []
    for number, rank in enumerate(ranks):
        peft = get_peft_model(fresh(), LoraConfig(r=rank, use_rslora=number == 1, **config))
        for key, parameter in peft.named_parameters():
            if "lora_" in key:
                parameter.data = torch.randn_like(parameter) * 0.3
        paths.append(folder / f"{name}-{number}")
        peft.save_pretrained(paths[-1])
    peft = PeftModel.from_pretrained(fresh(), paths[0], adapter_name="0")
    for number, path in enumerate(paths[1:], 1):
        peft.load_adapter(path, adapter_name=str(number))
    names = [str(number) for number in range(len(paths))]
    peft.add_weighted_adapter(names, list(weights), "all", combination_type=method, **options)
    wanted = state(peft.merge_and_unload(adapter_names=["all"]))
    merged = folder / name
    settings = {"weight": ",".join(map(str, weights)), **options}
    untangle("lora", "merge", "--method", method, *paths, "--output", merged,
             *(word for key, value in settings.items() for word in ("--set", f"{key}={value}")))
    compare(untangled(f"{base}+{merged}", folder / f"{name}.safetensors"), wanted, tolerance)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loaded = PeftModel.from_pretrained(fresh(), merged)
    assert not [w for w in caught if "missing" in str(w.message) or "unexpected" in str(w.message)], [str(w.message) for w in caught]
    save_file(state(loaded.merge_and_unload()), folder / f"{name}-peft.safetensors")
    compare(folder / f"{name}-peft.safetensors", wanted, tolerance)


def untangled(source, output):
    untangle("convert", source, output)
    return output


extraction("rank", "--rank", 4, tolerance=3e-6, model_type="gpt2")
extraction("energy", "--energy", 0.9999999, tolerance=1e-3, model_type="gpt2")
for method in ["linear", "ties", "magnitude_prune"]:
    merging(method, **({} if method == "linear" else {"density": 0.4}))
for method in ["cat", "svd", "ties_svd", "magnitude_prune_svd"]:
    merging(method, ranks=(3, 4, 6), tolerance=2e-5, **({"density": 0.4} if "_" in method else {}))
print(f"{compared} tensors are those of peft")
