"""Goldens of networks beside those in the other folders, in their format: run with transformers and safetensors installed.

Writes hf-siglip-full, hf-dinov2-registers and hf-deit. Weights are random at a scale that makes every part matter; numbers are computed by
transformers' own modules in float64 and rounded to float32.
"""

import json
import pathlib
import tempfile

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).parent
ROWS, BATCH, STEPS = 10, 4, 5
torch.manual_seed(12)


def vision(**more):
    return dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, image_size=24, patch_size=8, **more)


def networks():
    text = dict(vocab_size=49, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
                max_position_embeddings=12, bos_token_id=47, eos_token_id=48)
    siglip = transformers.SiglipModel(transformers.SiglipConfig(
        text_config=text, vision_config=vision(intermediate_size=64)))
    yield ("hf-siglip-full", siglip, lambda m, x: m.vision_model(pixel_values=x).pooler_output, ([0.5] * 3, [0.5] * 3),
           lambda name: name.startswith("vision_model."))
    registers = transformers.Dinov2WithRegistersModel(transformers.Dinov2WithRegistersConfig(
        **vision(mlp_ratio=2, num_register_tokens=3)))
    yield ("hf-dinov2-registers", registers, lambda m, x: m(pixel_values=x).last_hidden_state[:, 0],
           ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]), lambda name: "mask_token" not in name)
    deit = transformers.DeiTModel(transformers.DeiTConfig(**vision(intermediate_size=64)), add_pooling_layer=False)
    yield ("hf-deit", deit, lambda m, x: m(pixel_values=x).last_hidden_state[:, 0],
           ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]), lambda name: "mask_token" not in name)


def randomise(model):
    """Norms, biases, scales and embeddings away from their initial values; rounded to float32."""
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape)
        if p.ndim == 1 and "norm" in name.lower() and name.endswith("weight"):
            value = 1 + 0.2 * noise
        elif "lambda" in name:
            value = 0.6 + 0.2 * noise
        elif p.ndim <= 1 or "token" in name or "position" in name or "probe" in name:
            value = 0.3 * noise
        else:
            value = noise * (1.5 / p[0].numel() ** 0.5)
        p.data = value.float().double()


def head_logits(f, head):
    if head["normalize"]:
        return head["scale"] * (torch.nn.functional.normalize(f) @ head["weight"].T)
    return f @ head["weight"].T + head["bias"]


def kl(first, second):
    p = first.log_softmax(-1)
    return (p.exp() * (p - second.log_softmax(-1))).sum(-1).mean()


def state(model):
    return {k: v.detach().clone().to(torch.float32 if v.is_floating_point() else v.dtype).contiguous()
            for k, v in model.state_dict().items()}


def load(model, values):
    model.load_state_dict({k: v.double() if v.is_floating_point() else v for k, v in values.items()})


def written(model, values):
    """The tensors as the library writes them, whose names are not those of its modules."""
    load(model, values)
    with tempfile.TemporaryDirectory() as folder:
        model.float().save_pretrained(folder)
        tensors = load_file(folder + "/model.safetensors")
    model.double()
    return tensors


for name, model, feature, (mean, std), is_trained in networks():
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    model = model.double().eval()
    model.set_attn_implementation("eager")
    randomise(model)
    base = state(model)
    expert = {k: v + 0.08 * v.std() * torch.randn(v.shape) if v.is_floating_point() and is_trained(k) and v.numel() > 1 else v
              for k, v in base.items()}
    images = np.random.default_rng(3).integers(0, 256, (ROWS, 3, 24, 24), dtype=np.uint8)
    x = torch.tensor(images).double() / 255
    x = (x - torch.tensor(mean).double()[:, None, None]) / torch.tensor(std).double()[:, None, None]
    linear = dict(weight=(torch.randn(5, 32) * 0.4).double(), bias=torch.randn(5).double().float().double(), normalize=False)
    linear["weight"] = linear["weight"].float().double()
    zero = torch.nn.functional.normalize(torch.randn(7, 32)).double()
    heads = dict(linear=linear, zeroshot=dict(weight=zero, scale=14.0, normalize=True))

    outputs, teachers = {}, {}
    for which, values in (("base", base), ("expert", expert)):
        load(model, values)
        with torch.no_grad():
            f = feature(model, x)
            outputs[f"features.{which}"] = f.float()
            for h in heads:
                teachers[which, h] = head_logits(f, heads[h])
                outputs[f"logits.{which}.{h}"] = teachers[which, h].float()

    runs = {}
    for own, other in (("linear", "zeroshot"), ("zeroshot", "linear")):
        load(model, expert)
        parameters = {k: p for k, p in model.named_parameters() if is_trained(k)}
        for k, p in model.named_parameters():
            p.requires_grad_(k in parameters)
        optimiser = torch.optim.AdamW(parameters.values(), lr=1e-3, weight_decay=1e-4)
        losses, owns, others = [], [], []
        for step in range(STEPS):
            rows = [(BATCH * step + i) % ROWS for i in range(BATCH)]
            f = feature(model, x[rows])
            a = kl(teachers["expert", own][rows], head_logits(f, heads[own]))
            b = kl(teachers["base", other][rows], head_logits(f, heads[other]))
            optimiser.zero_grad()
            (a + b).backward()
            if step == 0 and own == "linear":
                grads = {k: p.grad.float().contiguous() for k, p in parameters.items()}
            optimiser.step()
            losses.append((a + b).item()), owns.append(a.item()), others.append(b.item())
        adapted = state(model)
        marks = written(model, {k: torch.full_like(v, k in parameters) for k, v in base.items()})
        trained = [k for k, v in marks.items() if v.all()]
        zeros = {k: "all" for k in trained if k.endswith(("key.bias", "k_proj.bias"))}
        if "vision_model.head.attention.in_proj_bias" in trained:
            zeros["vision_model.head.attention.in_proj_bias"] = [32, 64]
        runs[own] = dict(own_head=own, loss_float64=losses, own_float64=owns, others_float64=others, zero_gradient=zeros,
                         untrained=sorted(set(marks) - set(trained)))
        if own == "linear":
            save_file(written(model, adapted), folder / "adapted.safetensors")

    save_file(written(model, base), folder / "base.safetensors")
    save_file(written(model, expert), folder / "expert.safetensors")
    save_file(outputs, folder / "outputs.safetensors")
    gradients = written(model, {k: grads.get(k, torch.zeros_like(v)) for k, v in base.items()})
    save_file({k: gradients[k] for k in trained}, folder / "grad0.safetensors")
    save_file(dict(weight=linear["weight"].float(), bias=linear["bias"].float()), folder / "head_linear.safetensors")
    save_file(dict(weight=zero.float(), logit_scale=torch.tensor(14.0), normalize=torch.tensor(1.0)),
              folder / "head_zeroshot.safetensors")
    np.savez(folder / "inputs.npz", images=images)
    model.config.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(
        dict(do_normalize=True, do_rescale=True, image_mean=mean, image_std=std, rescale_factor=1 / 255), indent=1))
    (folder / "expected.json").write_text(json.dumps(
        dict(name=name, rows=ROWS, batch=BATCH, steps=STEPS, lr=1e-3, weight_decay=1e-4, alpha=1.0, runs=runs), indent=1))
    print(name, runs["linear"]["loss_float64"], sum(v.numel() for v in base.values()))
