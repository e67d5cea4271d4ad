"""What `untangle distill` and the options beyond the paper have to give on the tiny suite, by PyTorch's automatic differentiation in double precision.

    python3 Fixtures/suites/distill_reference.py        needs torch and safetensors; writes tiny/distill.json

The merged model is base + 0.3 * (sum of the task vectors). Batches are sequential and wrap, AdamW is PyTorch's with a rate of 1e-4 and a weight
decay of 1e-4. Weights after the last step are told as one number for each tensor, the dot product of its change with cos(0), cos(1), ...,
and as the length of the change; the bias of keys, whose true gradient is zero, is left out.
"""
import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

torch.set_num_threads(2)
folder = pathlib.Path(__file__).parent / "tiny"
config = json.loads((folder / "config.json").read_text())
TASKS, STEPS, BATCH, RATE, DECAY = config["tasks"], 8, 24, 1e-4, 1e-4


def load(name):
    return {k: v.double() for k, v in load_file(folder / f"{name}.safetensors").items()}


def features(p, x):
    D, H, P = config["hidden_size"], config["num_attention_heads"], config["patch_size"]
    h = F.conv2d(x, p["patch_embed.proj.weight"], p["patch_embed.proj.bias"], stride=P).flatten(2).transpose(1, 2)
    h = torch.cat([p["cls_token"].expand(len(x), -1, -1), h], 1) + p["pos_embed"]
    norm = lambda h, n: F.layer_norm(h, (D,), p[n + ".weight"], p[n + ".bias"], config["layer_norm_eps"])
    linear = lambda h, n: F.linear(h, p[n + ".weight"], p[n + ".bias"])
    for i in range(config["num_hidden_layers"]):
        b = f"blocks.{i}."
        q, k, v = linear(norm(h, b + "norm1"), b + "attn.qkv").view(len(x), -1, 3, H, D // H).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        h = h + linear(y, b + "attn.proj")
        h = h + linear(F.gelu(linear(norm(h, b + "norm2"), b + "mlp.fc1")), b + "mlp.fc2")
    return norm(h[:, 0], "norm")


def distance(kind, teacher, student):
    """The mean over inputs."""
    t, s = F.log_softmax(teacher, -1), F.log_softmax(student, -1)
    if kind == "kl":
        return F.kl_div(s, t, reduction="batchmean", log_target=True)
    if kind == "reverse_kl":
        return F.kl_div(t, s, reduction="batchmean", log_target=True)
    if kind == "cross_entropy":
        return F.cross_entropy(student, teacher.argmax(-1))
    return ((teacher - student) ** 2).mean()


base, experts = load("base"), [load(f"expert_{t}") for t in TASKS]
heads = [load(f"heads_{t}") for t in TASKS]
images = torch.from_numpy(np.load(folder / "aux_mixed.npz")["images"]).double()
images = (images / 255 - config["image_mean"]) / config["image_std"]
logits = lambda p, x, t: F.linear(features(p, x), heads[t]["weight"], heads[t]["bias"])


def train(student, teachers, weights, kind="kl", temperatures=(1, 1), frozen=()):
    """`teachers` and `weights` have one entry for each head."""
    p = {k: v.clone().requires_grad_(k not in frozen) for k, v in student.items()}
    optimizer = torch.optim.AdamW([v for v in p.values() if v.requires_grad], lr=RATE, weight_decay=DECAY)
    losses, gradient = [], None
    for step in range(STEPS):
        x = images[torch.arange(step * BATCH, (step + 1) * BATCH) % len(images)]
        with torch.no_grad():
            said = [logits(teacher, x, t) for t, teacher in enumerate(teachers)]
        loss = sum(
            w * distance(kind, said[t] / temperatures[0], logits(p, x, t) / temperatures[1])
            for t, w in enumerate(weights)
        )
        optimizer.zero_grad()
        loss.backward()
        gradient = gradient or {k: v.grad.clone() for k, v in p.items() if v.requires_grad}
        optimizer.step()
        losses.append(loss.item())
    changes = {}
    for k, v in p.items():
        places, D = torch.arange(v.numel()), config["hidden_size"]
        kept = (places < D) | (places >= 2 * D) if k.endswith("qkv.bias") else places >= 0
        change = ((v - student[k]).detach().flatten() * kept)
        slope = gradient[k].flatten() * kept if k in gradient else change * 0
        changes[k] = [f"{x:.9e}" for x in ((change * places.double().cos()).sum(), change.norm(), slope.norm())]
    return {"losses": [f"{x:.12e}" for x in losses], "tensors": {k: [float(x) for x in v] for k, v in changes.items()}}


merged = {k: base[k] + 0.3 * sum(e[k] - base[k] for e in experts) for k in base}
own = TASKS.index("digits")
ri = [experts[t] if t == own else base for t in range(len(TASKS))]
shares = [1 if t == own else 1 / (len(TASKS) - 1) for t in range(len(TASKS))]
result = {
    "distill": train(merged, experts, [1] * len(TASKS)),
    "distac": train(
        {k: base[k] + 0.5 * (experts[own][k] - base[k]) for k in base}, ri, [float(t == own) for t in range(len(TASKS))],
        temperatures=(2, 5)),
    "frozen": train(experts[own], ri, shares, frozen=("pos_embed", "blocks.0.attn.qkv.weight")),
}
for kind in ("kl", "reverse_kl", "cross_entropy", "mse"):
    result[kind] = train(experts[own], ri, shares, kind, temperatures=(0.5, 3))["losses"]
for value in result.values():
    if isinstance(value, dict):
        value["losses"] = [float(x) for x in value["losses"]]
result = {k: [float(x) for x in v] if isinstance(v, list) else v for k, v in result.items()}
(folder / "distill.json").write_text(json.dumps(result, indent=0) + "\n")
