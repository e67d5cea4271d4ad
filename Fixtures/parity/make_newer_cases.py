"""Makes newer.tsv and newer/ from a folder of merges by newer methods, with its manifest: lines as in cases.tsv.

Models are cut down to some tensors, which methods that work tensor by tensor merge as before.

Run from this folder: python make_newer_cases.py MERGES_FOLDER METHOD...      (safetensors 0.8, torch 2.13)
"""
import json, os, sys
from safetensors.torch import load_file, save_file

source, methods = sys.argv[1], sys.argv[2:]
kept = ["logit_scale", "position_ids", "visual.conv1.weight", "visual.proj", "visual.transformer.resblocks.0.attn.in_proj_bias",
        "visual.transformer.resblocks.0.mlp.c_fc.weight", "visual.transformer.resblocks.0.mlp.c_proj.weight"]

def save(path, target):
    os.makedirs(os.path.dirname(f"newer/{target}"), exist_ok=True)
    save_file({k: v.contiguous() for k, v in load_file(f"{source}/{path}").items() if k in kept}, f"newer/{target}.safetensors")
    return f"newer/{target}"

def text(value): return str(value).lower() if isinstance(value, bool) else str(value)

lines = []
for case in json.load(open(f"{source}/manifest.json"))["cases"]:
    if case["method"] not in methods: continue
    inputs = [save(f"inputs/{case['input_set']}/{m}.safetensors", f"{case['input_set']}/{m}")
              for m in ["base"] + [f"ft{i + 1}" for i in range(case["n_experts"])]]
    kind = "ulps" if "ulps" in case else "share" if "exempt" in case else "svd" if case["tolerance"] > 2e-6 else "newer"
    lines.append("\t".join([f"newer/{case['id']}", case["method"], inputs[0], ",".join(inputs[1:]),
                            ";".join(f"{k}={text(v)}" for k, v in case["parameters"].items()),
                            save(case["output"], case["id"]), kind, ""]))
open("newer.tsv", "w").write("\n".join(lines) + "\n")
