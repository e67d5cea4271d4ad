"""Makes cases.tsv, skipped.md and the files that they name from a folder of merges that other implementations made, with its manifest.

One line for every case of the manifest, separated by tabs:
  id, method, base or "-", experts, parameters KEY=VALUE;..., expected file, kind, reason
kind says how to compare: "elementwise", "sphere" (relative to the largest entry), "svd", "bf16"; "task_vector" and
"svd_task_vector" where the file holds the merged task vector; "share" lets 0.3 % of the entries differ; "skip" leaves the case out, for the reason.
Llama models are cut down to three tensors, references in F64 are rounded to F32, and statistics are split by expert.

Run from this folder: python make_parity_cases.py MERGES_FOLDER      (safetensors 0.8, torch 2.13, PyYAML)
"""
import json, os, sys, torch, yaml
from safetensors.torch import load_file, save_file

source = sys.argv[1]
manifest = json.load(open(f"{source}/parity_manifest.json"))
offered = {"linear", "slerp", "nuslerp", "multislerp", "karcher", "nearswap", "passthrough", "task_arithmetic", "ties",
           "dare_linear", "dare_ties", "della", "della_linear", "breadcrumbs", "breadcrumbs_ties", "model_stock", "sce",
           "arcee_fusion", "ram", "ramplus_tl"}
spherical = {"slerp", "nuslerp", "multislerp", "karcher"}
llama = ["model.layers.1.self_attn.q_proj.weight", "model.layers.1.mlp.down_proj.weight", "model.layers.1.input_layernorm.weight"]
# Over the 3 % that may be further than two units in the last place away, measured by hand.
brain_floats = {
    "karcher_base4": "angles in BF16 there: 41 % of the entries are over two units away, ours are ten times closer to F64",
    "multislerp_base": "lengths in BF16 there: 3.5 % of the entries are over two units away",
    "ties_rescale": "sums of magnitudes in BF16 there: 4.2 % of the entries are over two units away",
}
lines = []

def save(tensors, target):
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if not os.path.exists(target): save_file({k: v.contiguous() for k, v in tensors.items()}, target)
    return target.removesuffix(".safetensors")

def text(value):
    if isinstance(value, bool): return "true" if value else "false"
    if isinstance(value, list): return ",".join(text(v) for v in value)
    return str(value)

def add(case, method="", base="-", models=(), parameters={}, expected="-", kind="skip", reason=""):
    lines.append("\t".join([case["id"], method, base, ",".join(models) or "-",
                            ";".join(f"{k}={text(v)}" for k, v in parameters.items()), expected, kind, reason]))

def skip(case, reason): add(case, case.get("method", ""), reason=reason)

def nested(value): return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(v, dict) for v in value)) or isinstance(value, list)

def recipe(case):
    method, name = case["method"], case["id"].split("/")[-1]
    if method not in offered: return skip(case, f"{method} is not offered")
    if "bfloat16" in case["input_set"]:
        return skip(case, brain_floats.get(name, "inputs are not in Fixtures; the generic set covers BF16"))
    config = yaml.safe_load(open(f"{source}/{case['config']}"))
    if "slices" in config: return skip(case, "a recipe with slices; Fixtures/recipes compares others with mergekit")
    if "dtype" in config or "out_dtype" in config: return skip(case, "a recipe with a type of its own; Fixtures/recipes compares others with mergekit")
    base = config.get("base_model")
    experts = [m for m in config["models"] if m["model"] != base]
    own = [m.get("parameters", {}) for m in experts]
    parameters = {k: v for k, v in config.get("parameters", {}).items() if k != "int8_mask"}
    if any(nested(v) for p in own + [parameters] for v in p.values()): return skip(case, "a recipe with filters or gradients; Fixtures/recipes compares others with mergekit")
    for key in sorted({k for p in own for k in p}):
        if key == "weight" and method == "karcher": continue
        parameters[key] = [p[key] for p in own]
    cut = lambda tensors: {k: v for k, v in tensors.items() if k in llama}
    for model in ([base] if base else []) + [m["model"] for m in experts]:
        save(cut(load_file(f"{source}/inputs/llama_float32/{model}/model.safetensors")), f"mergekit/llama_float32/{model}.safetensors")
    expected = save(cut(load_file(f"{source}/{case['output']}")), f"mergekit/llama_float32/{name}.safetensors")
    place = lambda model: f"mergekit/llama_float32/{model}"
    add(case, method, place(base) if base else "-", [place(m["model"]) for m in experts], parameters, expected,
        "sphere" if method in spherical else "share" if method == "arcee_fusion" else "elementwise")

def interface(case):
    method, name, inputs = case["method"], case["id"].split("/")[-1], case["input_set"]
    if method not in offered: return skip(case, f"{method} is not offered")
    if method in ("arcee_fusion", "ram", "ramplus_tl"): return skip(case, "the Llama cases and newer.tsv cover it")
    if not all(os.path.exists(f"inputs/{inputs}/{m}.safetensors") for m in case["models"]): return skip(case, "inputs are not in Fixtures")
    place = lambda model: f"inputs/{inputs}/{model}"
    parameters = {k: v for k, v in case["params"].items()}
    expected = save(load_file(f"{source}/{case['output']}"), f"mergekit/{inputs}/{name}.safetensors")
    kind = "bf16" if "bfloat16" in inputs else "sphere" if method in spherical else "elementwise"
    base = case["base"]
    add(case, method, place(base) if base else "-", [place(m) for m in case["models"] if m != base], parameters, expected, kind)

generic = lambda count: [f"inputs/generic_float32/ft{i}" for i in range(1, count + 1)]

def decomposed(case):
    name = case["id"].split("/")[-1]
    for prefix, method in (("iso_cts_official", "iso_cts"), ("iso_c_official", "iso_c"), ("tsvm_official", "tsv_m"), ("iso_cts_fusion", "iso_cts"),
                           ("iso_c_fusion", "iso_c"), ("tsvm_fusion", "tsv_m"), ("wudi_fusion", "wudi")):
        if name.startswith(prefix): break
    else: return skip(case, "a variant or a measurement that is not offered" if not name.startswith("wudi") else "the same numbers as fusion_bench's on fewer tensors")
    if "bf16" in name: return skip(case, "decomposed in BF16")
    if "fusion" in name and method != "wudi": return skip(case, "the authors' code gives the same but for text_projection")
    if name == "wudi_fusion_bench_n4_it10": return skip(case, "with three experts it is compared")
    count = case["n_models"]
    parameters = {"iterations": int(name.split("_it")[-1])} if method == "wudi" else {}
    if method == "wudi": parameters["matrix_exclude"] = "none"
    if method in ("iso_cts", "wudi"):
        result = {k: v.float() for k, v in load_file(f"{source}/{case['output_f64']}").items()}
        expected = save(result, f"svd/{name}.tv.safetensors")
    else: expected = f"svd/{name}.tv.f64"
    add(case, method, "inputs/generic_float32/base", generic(count), parameters, expected, "svd_task_vector")

def subspaces(case):
    if case["method"] != "knots_ties" and case["method"] != "knots_ties_top100": return skip(case, "plain TIES or a sum, in KnOTS's code")
    expected = save(load_file(f"{source}/{case['output']}"), f"knots/{case['id'].split('/')[-1]}.safetensors")
    settings = case["params"]
    add(case, "knots_ties", "inputs/generic_float32/base", generic(3),
        {"density": settings["topK"] / 100, "lambda": settings["scaling_coeffs"]}, expected, "svd")

def others(case):
    name = case["id"].split("/")[-1]
    base, models = "inputs/generic_float32/base", generic(3)
    if name.startswith("tall"):
        expected = save(load_file(f"{source}/{case['output']}"), "other/consensus_ta.tv.safetensors")
        return add(case, "consensus_ta", base, models, {"tall_lambda": 0.4, "min_agreement": 2}, expected, "task_vector")
    if name.startswith("fisher"):
        weights = load_file(f"{source}/outputs/other/fisher_weights.safetensors")
        for i in (1, 2, 3): save({k[4:]: v for k, v in weights.items() if k.startswith(f"ft{i}.")}, f"other/fisher_ft{i}.safetensors")
        expected = save(load_file(f"{source}/{case['output']}"), f"other/{name}.safetensors")
        return add(case, "fisher", "-", models, {"normalize": name.endswith("True"), "statistics": [f"other/fisher_ft{i}.safetensors" for i in (1, 2, 3)]},
                   expected, "elementwise")
    if name.startswith("regmean"):
        keep = lambda k: not any(f"resblocks.{i}" in k for i in (1, 2))
        grams = load_file(f"{source}/outputs/other/regmean_grams.safetensors")
        for i in (1, 2, 3): save({k[4:]: v for k, v in grams.items() if k.startswith(f"ft{i}.") and keep(k)}, f"other/regmean_ft{i}.safetensors")
        expected = save({k: v for k, v in load_file(f"{source}/{case['output']}").items() if keep(k)}, f"other/{name}.safetensors")
        return add(case, "regmean", base, models, {"off_diagonal_scale": case["params"]["reduce_non_diagonal_ratio"], "matrix_exclude": "none",
                                                   "statistics": [f"other/regmean_ft{i}.safetensors" for i in (1, 2, 3)]}, expected, "svd")
    if name == "ties_global_fb_mean": return skip(case, "the authors' code gives the same numbers")
    if name.startswith("ties_global"):
        expected = f"ties/{name}.tv"
        save(load_file(f"{source}/{case['output']}"), f"{expected}.safetensors")
        parameters = {"density": 0.2, "trim_scope": "model", "normalize": not name.endswith("sum")}
        return add(case, "ties", base, models, parameters, expected, "task_vector")
    if name.startswith("model_stock"): return skip(case, "takes the mean of angles in degrees in F32: 1.6e-6 away, where the tolerance is 1e-6")
    skip(case, "not offered")

for case in manifest["cases"]:
    group = case["id"].split("/")[0]
    if case["id"].startswith("mergekit/random") or case["id"] == "mergekit/example_full_folder": skip(case, "random" if "random" in case["id"] else "a folder, not a merge")
    elif "llama_vocab" in case["id"]: skip(case, "a recipe with tokenizers, which only go along where vocabularies are equal")
    elif group == "mergekit": recipe(case)
    elif group == "mergekit-api": interface(case)
    elif group == "stats": skip(case, "measurements of task vectors")
    else: {"svd": decomposed, "knots": subspaces, "other": others}[group](case)
open("cases.tsv", "w").write("\n".join(lines) + "\n")

reasons = {}
for line in lines:
    fields = line.split("\t")
    if fields[6] == "skip": reasons.setdefault(fields[7], []).append(fields[0])
count = sum(map(len, reasons.values()))
with open("skipped.md", "w") as page:
    page.write("# Cases that the tests leave out\n\n")
    page.write(f"Made by `make_parity_cases.py`: of the manifest's {len(lines)} cases the tests compare {len(lines) - count}; these {count} they do not.\n\n")
    page.write("| reason | cases | which |\n|---|---|---|\n")
    for reason, ids in sorted(reasons.items(), key=lambda item: -len(item[1])):
        page.write(f"| {reason} | {len(ids)} | {' '.join(f'`{i}`' for i in ids)} |\n")
