"""Makes newer.tsv and newer/ from a folder of merges by newer methods, with its manifest: lines as in cases.tsv.

Models are cut down to some tensors, which methods that work tensor by tensor merge as before. Where a method compares tensors with each
other (kind `model`), inputs are whole and only the results are cut; statistics are rounded to F32.

Run from this folder: python make_newer_cases.py MERGES_FOLDER METHOD_OR_CASE...      (safetensors 0.8, numpy 2.4, ml_dtypes 0.6)
"""
import json, os, sys
import ml_dtypes, numpy
from safetensors.numpy import load_file, save_file

source, wanted = sys.argv[1], sys.argv[2:]
kept = ["logit_scale", "position_ids", "visual.conv1.weight", "visual.proj", "visual.transformer.resblocks.0.attn.in_proj_bias",
        "visual.transformer.resblocks.0.mlp.c_fc.weight", "visual.transformer.resblocks.0.mlp.c_proj.weight"]
comparing = ["pcb", "esm"]
cases = [c for c in json.load(open(f"{source}/manifest.json"))["cases"] if c["method"] in wanted or c["id"] in wanted]

def is_model_wide(case): return case["method"] in comparing and case["parameters"].get("scope") != "tensor"

def models(case): return [f"{case['input_set']}/{m}" for m in ["base"] + [f"ft{i + 1}" for i in range(case["n_experts"])]]

whole = {model for case in cases if is_model_wide(case) for model in models(case)}

def save(path, target, change=lambda tensors: {k: v for k, v in tensors.items() if k in kept}):
    os.makedirs(os.path.dirname(f"newer/{target}"), exist_ok=True)
    save_file(change(load_file(f"{source}/{path}")), f"newer/{target}.safetensors")
    return f"newer/{target}"

def save_input(model):
    return save(f"inputs/{model}.safetensors", model, **({"change": dict} if model in whole else {}))

def save_statistics(path):
    target = path.removeprefix("inputs/").removesuffix(".safetensors")
    return save(path, target, lambda tensors: {k: v.astype(numpy.float32) for k, v in tensors.items()}) + ".safetensors"

def text(value): return str(value).lower() if isinstance(value, bool) else str(value)

lines = []
for case in cases:
    inputs = [save_input(model) for model in models(case)]
    kind = ("model" if is_model_wide(case) else "ulps" if "ulps" in case else "share" if "exempt" in case
            else "svd" if case["tolerance"] > 2e-6 else "newer")
    settings = [f"{k}={text(v)}" for k, v in case["parameters"].items()]
    if "statistics" in case: settings.append("statistics=" + ",".join(save_statistics(path) for path in case["statistics"]))
    lines.append("\t".join([f"newer/{case['id']}", case["method"], inputs[0], ",".join(inputs[1:]), ";".join(settings),
                            save(case["output"], case["id"]), kind, ""]))
open("newer.tsv", "w").write("\n".join(lines) + "\n")
