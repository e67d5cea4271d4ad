"""Golden outputs and gradients of small vision transformers: python make_networks.py

Written with torch 2.13.0+cpu in float64, seed 7, stored as F32. Independent of the product's code: convolution for the patches,
torch's own layer norm, GELUs, attention, normalisation and autograd. For each case CASE of CASES:
  CASE.param.NAME   parameters under timm's names     CASE.images [B,C,H,W]      CASE.head.weight, CASE.head.bias
  CASE.features, CASE.logits                          CASE.dlogits  the gradient that is fed in
  CASE.grad.NAME    gradients of sum(dlogits * logits)
"""
import torch, torch.nn.functional as F
from safetensors.torch import save_file

D, HEADS, M, P, C, H, W, L, B, K = 12, 3, 10, 2, 2, 4, 6, 2, 3, 5
CASES = {
    "cls_gelu": dict(act="gelu"),
    "mean_tanh": dict(act="gelu_tanh", pooling="mean", qkv_bias=False, normalize=True, scale=7.5),
    "mean_quick": dict(act="quick_gelu", pooling="mean", norm="fc_norm"),
    "clip": dict(act="quick_gelu", pre_norm=True, patch_bias=False, projection=7, normalize=True, scale=20.0),
}
g = torch.Generator().manual_seed(7)
rand = lambda *s, scale=0.4: (torch.randn(*s, generator=g, dtype=torch.float64) * scale).float().double()


def parameters(c):
    T = (H // P) * (W // P) + 1
    p = {"cls_token": rand(1, 1, D), "pos_embed": rand(1, T, D), "patch_embed.proj.weight": rand(D, C, P, P)}
    if c.get("patch_bias", True): p["patch_embed.proj.bias"] = rand(D)
    norm = lambda n: p.update({n + ".weight": 1 + rand(D), n + ".bias": rand(D)})
    if c.get("pre_norm"): norm("norm_pre")
    for i in range(L):
        b = f"blocks.{i}."
        norm(b + "norm1"); norm(b + "norm2")
        for n, o, k in (("attn.qkv", 3 * D, D), ("attn.proj", D, D), ("mlp.fc1", M, D), ("mlp.fc2", D, M)):
            p[b + n + ".weight"] = rand(o, k)
            if n != "attn.qkv" or c.get("qkv_bias", True): p[b + n + ".bias"] = rand(o)
    norm(c.get("norm", "norm"))
    if "projection" in c: p["head.weight"] = rand(c["projection"], D)
    return p


def features(p, x, c):
    act = {"gelu": F.gelu, "gelu_tanh": lambda v: F.gelu(v, approximate="tanh"), "quick_gelu": lambda v: v * torch.sigmoid(1.702 * v)}[c["act"]]
    ln = lambda v, n: F.layer_norm(v, (D,), p[n + ".weight"], p[n + ".bias"], 1e-5)
    h = F.conv2d(x, p["patch_embed.proj.weight"], p.get("patch_embed.proj.bias"), stride=P).flatten(2).transpose(1, 2)
    h = torch.cat([p["cls_token"].expand(len(x), -1, -1), h], 1) + p["pos_embed"]
    if c.get("pre_norm"): h = ln(h, "norm_pre")
    for i in range(L):
        b = f"blocks.{i}."
        q, k, v = F.linear(ln(h, b + "norm1"), p[b + "attn.qkv.weight"], p.get(b + "attn.qkv.bias")).view(len(x), -1, 3, HEADS, D // HEADS).permute(2, 0, 3, 1, 4)
        h = h + F.linear(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(len(x), -1, D), p[b + "attn.proj.weight"], p[b + "attn.proj.bias"])
        h = h + F.linear(act(F.linear(ln(h, b + "norm2"), p[b + "mlp.fc1.weight"], p[b + "mlp.fc1.bias"])), p[b + "mlp.fc2.weight"], p[b + "mlp.fc2.bias"])
    if c.get("norm") == "fc_norm": h = ln(h[:, 1:].mean(1), "fc_norm")
    else: h = ln(h, "norm"); h = h[:, 1:].mean(1) if c.get("pooling") == "mean" else h[:, 0]
    return F.linear(h, p["head.weight"]) if "head.weight" in p else h


out = {}
for name, c in CASES.items():
    p = {k: v.requires_grad_() for k, v in parameters(c).items()}
    x, w, b, dl = rand(B, C, H, W, scale=1), rand(K, c.get("projection", D)), rand(K), rand(B, K, scale=1)
    f = features(p, x, c)
    z = c.get("scale", 1.0) * F.linear(F.normalize(f, dim=-1) if c.get("normalize") else f, w) + b
    (dl * z).sum().backward()
    out |= {f"{name}.{k}": v for k, v in {"images": x, "head.weight": w, "head.bias": b, "dlogits": dl, "features": f, "logits": z}.items()}
    out |= {f"{name}.param.{k}": v for k, v in p.items()} | {f"{name}.grad.{k}": v.grad for k, v in p.items()}

# AdamW over four steps with a changing rate, in float32 as torch runs it.
theta, grads = rand(37).float().requires_grad_(), rand(4, 37).float()
out["adamw.start"], out["adamw.grads"] = theta.detach().clone(), grads
opt = torch.optim.AdamW([theta], lr=1, weight_decay=0.05)
for s, lr in enumerate((0.01, 0.02, 0.005, 0.003)):
    opt.param_groups[0]["lr"] = lr; theta.grad = grads[s].clone(); opt.step()
    out[f"adamw.theta{s + 1}"] = theta.detach().clone()
save_file({k: v.detach().float().contiguous() for k, v in out.items()}, "networks.safetensors", {"torch": torch.__version__, "seed": "7"})
