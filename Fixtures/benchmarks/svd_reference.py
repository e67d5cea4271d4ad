"""Methods on matrices with torch.linalg, to measure `untangle merge` against: the same algorithms, precision and cores.

    python svd_reference.py make FOLDER                        base and eight experts in the shapes of ViT-B/32, F32
    python svd_reference.py METHOD FOLDER OUTPUT [THREADS]     merges them by tsv_m, iso_c, dc_merge or swudi, prints seconds and writes OUTPUT
    python svd_reference.py compare A B                        the largest difference of two results

Needs numpy, torch and safetensors; written against torch 2.13 and safetensors 0.8.
TSV-M: Gargiulo et al. 2025, arXiv:2412.00081; Iso-C: Marczak et al. 2025, arXiv:2502.04959; DC-Merge: arXiv:2603.06242; SWUDI:
arXiv:2606.07289.
"""

import pathlib
import sys
import time

import numpy as np
import torch
from safetensors.torch import load_file, save_file

EXPERTS = 8


def shapes():
    """The image tower of CLIP ViT-B/32: 87 M parameters."""
    result = {"conv1.weight": (768, 3, 32, 32), "class_embedding": (768,), "positional_embedding": (50, 768)}
    for layer in range(12):
        block = f"transformer.resblocks.{layer}."
        result |= {
            block + "attn.in_proj_weight": (2304, 768), block + "attn.in_proj_bias": (2304,),
            block + "attn.out_proj.weight": (768, 768), block + "attn.out_proj.bias": (768,),
            block + "mlp.c_fc.weight": (3072, 768), block + "mlp.c_fc.bias": (3072,),
            block + "mlp.c_proj.weight": (768, 3072), block + "mlp.c_proj.bias": (768,),
            block + "ln_1.weight": (768,), block + "ln_1.bias": (768,),
            block + "ln_2.weight": (768,), block + "ln_2.bias": (768,),
        }
    return result | {"ln_post.weight": (768,), "ln_post.bias": (768,), "proj": (768, 512)}


def make(folder):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    base = {name: rng.standard_normal(shape, dtype=np.float32) * 0.02 for name, shape in shapes().items()}
    for expert in range(EXPERTS + 1):
        tensors = {}
        for name, values in base.items():
            change = 0
            if expert > 0:
                change = rng.standard_normal(values.shape, dtype=np.float32) * 2e-4
                if values.ndim == 2:  # Fine-tuning changes a few directions most.
                    left = rng.standard_normal((values.shape[0], 8), dtype=np.float32)
                    right = rng.standard_normal((8, values.shape[1]), dtype=np.float32)
                    change = change + 2e-4 * left @ right
            tensors[name] = torch.from_numpy(values + change)
        save_file(tensors, folder / f"model{expert}.safetensors")


def tsv_m(changes):
    share = int(min(changes[0].shape) * (1 / len(changes)))
    parts = [torch.linalg.svd(change, full_matrices=False) for change in changes]
    u = torch.cat([u[:, :share] for u, _, _ in parts], dim=1)
    s = torch.cat([s[:share] for _, s, _ in parts])
    vt = torch.cat([vt[:share] for _, _, vt in parts])
    pu, _, qu = torch.linalg.svd(u, full_matrices=False)
    pv, _, qv = torch.linalg.svd(vt, full_matrices=False)
    return torch.linalg.multi_dot([pu, qu, torch.diag(s), pv, qv])


def iso_c(changes):
    u, s, vt = torch.linalg.svd(sum(changes), full_matrices=False)
    return s.mean() * u @ vt


def dc_merge(changes, keep=1e-3):
    width = min(changes[0].shape)
    share = width // len(changes)
    parts = [torch.linalg.svd(change, full_matrices=False) for change in changes]
    pu, _, qu = torch.linalg.svd(torch.cat([u[:, :share] for u, _, _ in parts], dim=1), full_matrices=False)
    pv, _, qv = torch.linalg.svd(torch.cat([vt[:share] for _, _, vt in parts]).T, full_matrices=False)
    left, right = pu @ qu, pv @ qv
    cores = [(left.T @ u[:, :share] * s[:share]) @ (vt[:share] @ right) for u, s, vt in parts]
    count = max(1, int(keep * cores[0].numel()))
    cores = [torch.where(core.abs() >= core.abs().flatten().topk(count).values[-1], core, 0) for core in cores]
    stack = torch.stack(cores)
    agrees = stack * torch.sign(stack.sum(0)) > 0
    core = (stack * agrees).sum(0) / agrees.sum(0).clamp(min=1)
    block = torch.block_diag(*[torch.ones(share, share)] * len(changes))
    return left @ (core * block) @ right.T


def swudi(changes, time=1300, ratio=0.65):
    inverse = [1 / change.square().sum() for change in changes]
    covariance = sum(a * change.T @ change for a, change in zip(inverse, changes))
    drift = sum(a * change @ (change.T @ change) for a, change in zip(inverse, changes))
    values, vectors = torch.linalg.eigh(covariance)
    count = max(1, int(ratio * len(values) + 0.999))
    values, vectors = values[-count:].clamp(min=1e-8), vectors[:, -count:]
    total = sum(changes)
    part = 1 - torch.exp(-time * values)
    return total - (total @ vectors * part) @ vectors.T + (drift @ vectors * (part / values)) @ vectors.T


def merge(rule, folder, output):
    base, *experts = [load_file(folder / f"model{i}.safetensors") for i in range(EXPERTS + 1)]
    merged = {}
    for name, values in base.items():
        changes = [expert[name] - values for expert in experts]
        merged[name] = values + (rule(changes) if values.ndim == 2 else sum(changes) / len(changes))
    save_file(merged, output)


def main(action, *arguments):
    if action == "make":
        make(pathlib.Path(arguments[0]))
    elif action == "compare":
        a, b = (load_file(path) for path in arguments)
        print(max((a[name].double() - b[name].double()).abs().max().item() for name in a))
    else:
        torch.set_num_threads(int(arguments[2]) if len(arguments) > 2 else 2)
        start = time.perf_counter()
        merge({"tsv_m": tsv_m, "iso_c": iso_c, "dc_merge": dc_merge, "swudi": swudi}[action], pathlib.Path(arguments[0]), arguments[1])
        print(f"{action}: {time.perf_counter() - start:.1f} s")


main(*sys.argv[1:])
