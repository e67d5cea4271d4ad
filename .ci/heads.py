"""Runs every Python block of a page on small models of random weights, and checks the heads with untangle.

usage: heads.py PAGE FOLDER

The first line of a block says what it works on; a line of this file stands in for it. Labels are what the library's own logits
choose, so that `untangle evaluate` has to find every one of them.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import torchvision_for_another_torch  # noqa: F401
import open_clip
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

page, root = Path(sys.argv[1]).read_text(), Path(sys.argv[2])
blocks = re.findall(r"^## (.*?)$\n.*?```python\n(.*?)```", page, re.MULTILINE | re.DOTALL)
torch.manual_seed(7)
# Four colours an image, so that images differ more than noise would make them.
images = np.random.default_rng(7).integers(0, 256, (64, 3, 2, 2), dtype=np.uint8).repeat(16, axis=2).repeat(16, axis=3)
pixels = torch.tensor((images / 255.0 - 0.5) / 0.25, dtype=torch.float32)


def run(heading, first_line, **given):
    code = next(code for name, code in blocks if name == heading)
    assert len(code.splitlines()) <= 13, f"{heading} is no longer ten lines"
    names = dict(given)
    exec(first_line + "\n" + code.split("\n", 1)[1], names)


def check(name, base, head, logits, **arrays):
    labels = logits.argmax(-1).numpy()
    assert len(set(labels)) > 1, f"{name}: the labels do not tell heads apart"
    data = root / f"{name}-data.npz"
    np.savez(data, labels=labels, **(arrays or {"images": images}))
    command = ["untangle", "evaluate", str(base), "--head", f"{name}={head}", "--data", f"{name}={data}", "--json"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    accuracies = [task["accuracy"] for task in found["tasks"]]
    assert accuracies == [1.0], f"{name}: {accuracies}"
    print(f"{name}: the head of docs/heads.md agrees with the library on {len(labels)} inputs")


def reset(model):
    """Random matrices so large that different inputs have different features."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.randn_like(parameter) * 2 * parameter.shape[-1] ** -0.5)
    return model.eval()


sizes = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
processor = {"rescale_factor": 1 / 255, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}

vit = reset(transformers.ViTForImageClassification(transformers.ViTConfig(image_size=32, patch_size=8, num_labels=5, **sizes)))
vit.save_pretrained(root / "vit")
(root / "vit/preprocessor_config.json").write_text(json.dumps(processor))
run("From a classifier of transformers", f"folder, out = {str(root / 'vit')!r}, {str(root / 'vit-head.safetensors')!r}")
with torch.inference_mode():
    check("vit", root / "vit", root / "vit-head.safetensors", vit(pixels).logits)

classes = ["cat", "dog", "bird", "horse", "ship", "truck", "apple", "violin", "jar", "zebra", "kiwi", "quilt"]
letters = [chr(c) for c in range(97, 123)] + ["."]
vocabulary = {token: place for place, token in enumerate(letters + [c + "</w>" for c in letters] + ["<|startoftext|>", "<|endoftext|>"])}
(root / "clip").mkdir()
(root / "clip/vocab.json").write_text(json.dumps(vocabulary))
(root / "clip/merges.txt").write_text("#version: 0.2\n")
transformers.CLIPTokenizer(str(root / "clip/vocab.json"), str(root / "clip/merges.txt")).save_pretrained(root / "clip")
clip = reset(
    transformers.CLIPModel(
        transformers.CLIPConfig(
            text_config=dict(vocab_size=len(vocabulary), max_position_embeddings=77, bos_token_id=54, eos_token_id=55, pad_token_id=55, **sizes),
            vision_config=dict(image_size=32, patch_size=8, **sizes),
            projection_dim=24,
        )
    )
)
clip.save_pretrained(root / "clip")
(root / "clip/preprocessor_config.json").write_text(json.dumps(processor))
run(
    "Zero-shot, from CLIP in transformers",
    f"folder, classes, out = {str(root / 'clip')!r}, {classes}, {str(root / 'clip-head.safetensors')!r}",
)
tokenizer = transformers.AutoTokenizer.from_pretrained(root / "clip")
with torch.inference_mode():
    tokens = tokenizer([f"a photo of a {name}." for name in classes], padding=True, return_tensors="pt")
    check("clip", root / "clip", root / "clip-head.safetensors", clip(pixel_values=pixels, **tokens).logits_per_image)

config = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 8, "mlp_ratio": 2.0, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 3},
}
(root / "openclip").mkdir()
(root / "small-clip.json").write_text(json.dumps(config))
open_clip.add_model_config(root / "small-clip.json")
model = reset(open_clip.create_model("small-clip"))
torch.save(model.state_dict(), root / "openclip.pt")
transformers.utils.logging.set_verbosity_error()
from safetensors.torch import save_file

save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, root / "openclip/open_clip_model.safetensors")
(root / "openclip/open_clip_config.json").write_text(
    json.dumps({"model_cfg": config, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3}})
)
run(
    "Zero-shot, from OpenCLIP",
    f"name, weights, classes, out = 'small-clip', {str(root / 'openclip.pt')!r}, {classes}, {str(root / 'openclip-head.safetensors')!r}",
)
with torch.inference_mode():
    text = model.encode_text(open_clip.get_tokenizer("small-clip")([f"a photo of a {name}." for name in classes]), normalize=True)
    logits = model.logit_scale.exp() * model.encode_image(pixels, normalize=True) @ text.T
    check("openclip", root / "openclip/open_clip_model.safetensors", root / "openclip-head.safetensors", logits)

words = ["[PAD]", "[UNK]", "a", "good", "film", "dull", "long", "day"]
plain = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
plain.pre_tokenizer = pre_tokenizers.Whitespace()
plain.save(str(root / "tokenizer.json"))
texts = ["a good film", "dull", "a dull long day", "good day", "film", "a long long film", "day", "a good day dull"]
bert = reset(transformers.BertModel(transformers.BertConfig(vocab_size=len(words), max_position_embeddings=16, **sizes)))
bert.save_pretrained(root / "bert")
(root / "bert/1_Pooling").mkdir()
(root / "bert/1_Pooling/config.json").write_text(json.dumps({"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True}))
probe = SimpleNamespace(coef_=np.random.default_rng(3).normal(size=(3, 32)), intercept_=np.zeros(3))
run(
    "From a linear probe",
    f"coef, intercept, out = model.coef_, model.intercept_, {str(root / 'bert-head.npz')!r}",
    model=probe,
)
run(
    "Token ids",
    f"tokenizer_file, texts, labels, out = {str(root / 'tokenizer.json')!r}, {texts}, [0] * {len(texts)}, {str(root / 'texts.npz')!r}",
)
data = np.load(root / "texts.npz")
with torch.inference_mode():
    ids, mask = (torch.tensor(data[name].astype("int64")) for name in ("input_ids", "attention_mask"))
    hidden = bert(input_ids=ids, attention_mask=mask).last_hidden_state * mask[..., None]
    feature = hidden.sum(1) / mask.sum(1, keepdim=True)
    check(
        "bert", root / "bert", root / "bert-head.npz", feature @ torch.tensor(probe.coef_, dtype=torch.float32).T,
        input_ids=data["input_ids"], attention_mask=data["attention_mask"],
    )
