"""Makes reference/ and mergekit/llama_float32/.

reference/: merged task vectors of plain PyTorch implementations (below) on small seeded models.
  grid_*    changes are multiples of 1/1024, so that magnitudes tie and sums cancel; one expert leaves a tensor alone.
  normal_*  full-rank changes; the results are computed in F64.
mergekit/llama_float32/: three tensors cut out of merges that mergekit 0.1.5 made of a small Llama, with their inputs.
  Only when the folder with those merges is given.

Versions used: torch 2.13 (CPU), safetensors 0.8.  Run from this folder: python make_merge_goldens.py [MERGES_FOLDER]
"""
import sys, torch
from safetensors.torch import load_file, save_file

def ties(tvs, density):
    """Threshold over the whole model as the authors take it, equal magnitudes kept; majority sign where the sum is zero; mean over what agrees."""
    keys = list(tvs[0]); flat = torch.stack([torch.cat([t[k].flatten() for k in keys]) for t in tvs])
    n = flat.shape[1]; k = int(n * density)
    threshold = flat.abs().kthvalue(max(n - k, 1), dim=1, keepdim=True).values
    kept = torch.where(flat.abs() >= threshold, flat, torch.zeros_like(flat))
    sign = torch.sign(kept.sum(0)); majority = torch.sign(sign.sum())
    assert ((sign == 0) & (kept != 0).any(0)).any(), "no entry needs the majority"
    sign = torch.where(sign == 0, majority, sign)
    agrees = torch.where(sign > 0, kept > 0, kept < 0)
    out = (kept * agrees).sum(0) / agrees.sum(0).clamp_min(1)
    return dict(zip(keys, [p.view_as(tvs[0][k]) for k, p in zip(keys, out.split([tvs[0][k].numel() for k in keys]))]))

def polar(a):
    u, s, v = torch.linalg.svd(a, full_matrices=False); return u @ v

def tsv_m(tvs):
    result = {}
    for k in tvs[0]:
        if tvs[0][k].ndim != 2: result[k] = torch.stack([t[k] for t in tvs]).mean(0); continue
        us, ss, vs = [], [], []
        for t in tvs:
            u, s, v = torch.linalg.svd(t[k], full_matrices=False); r = int(s.shape[0] / len(tvs))
            us.append(u[:, :r]); ss.append(s[:r]); vs.append(v[:r])
        result[k] = polar(torch.cat(us, 1)) @ torch.diag(torch.cat(ss)) @ polar(torch.cat(vs, 0))
    return result

def iso_c(tvs):
    result = {}
    for k in tvs[0]:
        stack = torch.stack([t[k] for t in tvs])
        if tvs[0][k].ndim != 2: result[k] = stack.mean(0); continue
        u, s, v = torch.linalg.svd(stack.sum(0), full_matrices=False); result[k] = s.mean() * (u @ v)
    return result

def wudi_closed(tvs, ridge=1e-5):
    """The authors' closed form with a pseudo-inverse; experts that did not change a matrix are left out."""
    result = {}
    for k in tvs[0]:
        if tvs[0][k].ndim != 2: result[k] = torch.stack([t[k] for t in tvs]).mean(0); continue
        moved = [t[k] for t in tvs if t[k].any()]
        if not moved: result[k] = torch.zeros_like(tvs[0][k]); continue
        grams = [(x.T @ x + ridge * torch.eye(x.shape[1], dtype=x.dtype)) / (x * x).sum() for x in moved]
        result[k] = sum(x @ g for x, g in zip(moved, grams)) @ torch.linalg.pinv(sum(grams))
    return result

shapes = {"a.weight": (24, 16), "b.bias": (40,), "b.weight": (16, 40), "c.weight": (6, 3, 2), "frozen": (8, 8), "scale": ()}
def rand(g, s): return torch.randn(s, generator=g)
def task_vectors(base, experts, dtype): return [{k: e[k].to(dtype) - base[k].to(dtype) for k in base} for e in experts]

g = torch.Generator().manual_seed(20)
base = {k: torch.round(rand(g, s) * 64) / 64 for k, s in shapes.items()}
experts = [{k: base[k] + (0 if k == "frozen" or (i == 1 and k == "a.weight") else torch.round(rand(g, s) * 6) / 1024)
            for k, s in shapes.items()} for i in range(3)]
save_file(base, "reference/grid_base.safetensors")
for i, e in enumerate(experts): save_file({k: v.contiguous() for k, v in e.items()}, f"reference/grid_expert{i}.safetensors")
for density in (0.2, 0.5, 1.0):
    save_file({k: v.contiguous() for k, v in ties(task_vectors(base, experts, torch.float32), density).items()},
              f"reference/grid_ties_{int(100 * density)}.safetensors")

g = torch.Generator().manual_seed(21)
base = {k: rand(g, s) * 0.05 for k, s in shapes.items()}
experts = [{k: base[k] + (0 if k == "frozen" else rand(g, s) * 0.01 * (1 + i)) for k, s in shapes.items()} for i in range(3)]
save_file(base, "reference/normal_base.safetensors")
for i, e in enumerate(experts): save_file(e, f"reference/normal_expert{i}.safetensors")
for name, method in (("tsv_m", tsv_m), ("iso_c", iso_c), ("wudi_closed", wudi_closed)):
    save_file({k: v.contiguous() for k, v in method(task_vectors(base, experts, torch.float64)).items()}, f"reference/normal_{name}.safetensors")

if len(sys.argv) > 1:
    names = ["model.layers.1.self_attn.q_proj.weight", "model.layers.1.mlp.down_proj.weight", "model.layers.1.input_layernorm.weight"]
    cut = lambda source, target: save_file({k: v for k, v in load_file(f"{sys.argv[1]}/{source}").items() if k in names},
                                           f"mergekit/llama_float32/{target}.safetensors")
    for model in ("base", "ft1", "ft2", "ft3"): cut(f"inputs/llama_float32/{model}/model.safetensors", model)
    for case in ("linear_raw", "task_arithmetic_lambda_norm", "task_arithmetic_negate", "ties_d50_lambda_nonorm_int8", "ties_d20"):
        cut(f"outputs/mergekit/llama_float32/{case}.safetensors", case)
