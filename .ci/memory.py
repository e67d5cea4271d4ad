"""Measures how much memory commands take, beside mapped files, under `--memory`.

    python3 .ci/memory.py FOLDER [--tool PATH] [--memory 64MiB,256MiB] [--only WORD]

Makes a base and two experts of 0.75 GB each in FOLDER, once, with numpy, and runs what reads them. What counts is RssAnon of
/proc/PID/status, asked every 2 ms. The exit status is 1 when a command took more than it was allowed and 24 MiB for the program
itself. A command that says the least it can do with (`io.memory`, `merge.memory` and their kin) keeps the promise.
"""

import argparse
import json
import pathlib
import struct
import subprocess
import sys
import time

import numpy

OWN_BYTE_COUNT = 24 << 20
SHAPES = [("embed.weight", (65536, 1024))] + [
    (f"blocks.{number}.{name}", shape)
    for number in range(30)
    for name, shape in [("weight", (4096, 1024)), ("bias", (4096,))]
]
# A few matrices, for what takes them apart and needs much time.
FEW = [(f"blocks.{number}.weight", (2048, 512)) for number in range(4)]
METHODS = """linear task_arithmetic ties dare_ties della breadcrumbs sce model_stock consensus_ta slerp nuslerp
multislerp karcher nearswap""".split()
MATRIX_METHODS = "tsv_m iso_c iso_cts knots_ties wudi".split()


def write(path, shapes, scale, base=None):
    """A safetensors file of F32: random numbers, or those of the base and small changes to a part of them."""
    header, offset = {}, 0
    for name, shape in shapes:
        end = offset + 4 * int(numpy.prod(shape))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    generator = numpy.random.default_rng(len(path.stem))
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        start = 8 + len(text)
        for name, shape in shapes:
            begin = start + header[name]["data_offsets"][0]
            values = generator.standard_normal(shape, dtype=numpy.float32) * numpy.float32(scale)
            if base:
                values += numpy.memmap(base, numpy.float32, "r", begin, shape)
            file.write(values.tobytes())


def compress(source, target):
    """The same tensors deflated: they decode only whole."""
    length = struct.unpack("<Q", open(source, "rb").read(8))[0]
    header = json.loads(open(source, "rb").read(8 + length)[8:])
    numpy.savez_compressed(
        target,
        **{
            name: numpy.memmap(source, numpy.float32, "r", 8 + length + header[name]["data_offsets"][0], shape)
            for name, shape in SHAPES[1:9]
        },
    )


def peak(arguments, folder):
    """Runs a command.

    Returns its exit status, the most anonymous memory it had, its seconds, and the last line of what it complained of.
    """
    begin = time.time()
    process = subprocess.Popen(
        arguments, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    most = 0
    while process.poll() is None:
        try:
            status = open(f"/proc/{process.pid}/status").read()
        except OSError:
            break
        for line in status.splitlines():
            if line.startswith("RssAnon:"):
                most = max(most, int(line.split()[1]) << 10)
        time.sleep(0.002)
    errors = process.stderr.read()
    return process.wait(), most, time.time() - begin, errors


def commands(suite):
    files = ["base.safetensors", "one.safetensors", "other.safetensors"]
    yield "inspect --stats", ["inspect", files[0], "--stats"]
    yield "inspect --checksum", ["inspect", files[0], "--checksum"]
    yield "inspect --histogram", ["inspect", files[0], "--histogram", "embed.weight"]
    yield "inspect --stats, skein", ["inspect", "base.skein", "--stats"]
    yield "verify", ["verify", files[0]]
    yield "verify --deep, skein", ["verify", "one.skein", "--deep", "--base", files[0]]
    yield "verify, npz", ["verify", "base.npz"]
    yield "diff", ["diff", files[0], files[1], "--exit-zero"]
    yield "diff, npz deflated", ["diff", "deflated.npz", "deflated.npz"]
    for name, source, target, more in [
        ("to safetensors", files[0], "out.safetensors", []),
        ("to BF16", files[0], "out.safetensors", ["--dtype", "bf16"]),
        ("to shards", files[0], "out/", ["--shard-size", "200MB"]),
        ("to npz", files[0], "out.npz", []),
        ("to skein", files[0], "out.skein", []),
        ("to skein, base", files[1], "out.skein", ["--base", files[0]]),
        ("to GGUF Q8_0", files[0], "out.gguf", ["--dtype", "q8_0"]),
        ("from npz", "base.npz", "out.safetensors", []),
        ("from npz deflated", "deflated.npz", "out.safetensors", []),
        ("from skein", "base.skein", "out.safetensors", []),
        ("from skein, base", "one.skein", "out.safetensors", ["--base", files[0]]),
        ("from GGUF Q8_0", "base.gguf", "out.safetensors", []),
    ]:
        yield f"convert {name}", ["convert", source, target, "--force", "--no-sync"] + more
    yield "edit, written anew", ["edit", files[0], "--drop", "blocks.0.*", "--output", "out.safetensors", "--force"]
    yield "vectors", ["vectors", "--base"] + files
    few = [f"few-{file}" for file in files]
    yield "vectors --spectrum", ["vectors", "--spectrum", "--base"] + few
    yield "vectors --save", ["vectors", "--save", "out", "--force", "--base"] + files
    output = ["--output", "out.safetensors", "--force", "--no-sync"]
    for method in METHODS:
        models = files if method in ("linear", "karcher", "multislerp") else ["--base"] + files
        if method in ("slerp", "nearswap"):
            models.pop()
        yield f"merge {method}", ["merge", "--method", method, *models, *output]
    for method in MATRIX_METHODS:
        yield f"merge {method}", ["merge", "--method", method, "--base", *few, *output]
    yield "merge ties, of skein", ["merge", "--method", "ties", "--base", "base.skein", "one.skein", files[2], *output]
    experts = [f"{option}{name}={suite}/{file}_{name}.safetensors"
               for name in ("digits", "latin_lower") for option, file in (("--expert=", "expert"), ("--head=", "heads"))]
    data = [f"--data={name}={suite}/test_{name}.npz" for name in ("digits", "latin_lower")]
    yield "resolve", ["resolve", f"--base={suite}/base.safetensors", *experts, "--auxiliary", f"{suite}/aux_mixed.npz",
                      "--steps", "5", "--output", "out", "--force"]
    yield "interference", ["interference", f"--base={suite}/base.safetensors", *experts, *data,
                           "--method", "task_arithmetic"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    root = pathlib.Path(__file__).resolve().parent.parent
    parser.add_argument("--tool", type=pathlib.Path, default=root / ".build/release/untangle")
    parser.add_argument("--memory", default="64MiB,256MiB")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    folder, tool = options.folder, str(options.tool.resolve())
    folder.mkdir(exist_ok=True)
    base = folder / "base.safetensors"
    if not (folder / "base.gguf").exists():
        for kind, shapes in (("", SHAPES), ("few-", FEW)):
            start = folder / f"{kind}base.safetensors"
            write(start, shapes, 0.02)
            for name in ("one", "other"):
                write(folder / f"{kind}{name}.safetensors", shapes, 0.001, start)
        compress(base, folder / "deflated.npz")
        for line in (["base.safetensors", "base.npz"], ["base.safetensors", "base.skein"],
                     ["one.safetensors", "one.skein", "--base", "base.safetensors"],
                     ["base.safetensors", "base.gguf", "--dtype", "q8_0"]):
            subprocess.run([tool, "convert", *line, "--quiet", "--force"], cwd=folder, check=True)
    sizes = options.memory.split(",")
    bounds = [int(size.removesuffix("MiB")) << 20 for size in sizes]
    print("| command |" + "".join(f" {size} |" for size in sizes), flush=True)
    print("|---|" + "---:|" * len(sizes), flush=True)
    isKept = True
    for name, arguments in commands(root / "Fixtures/suites/tiny"):
        if options.only not in name:
            continue
        cells = []
        for size, bound in zip(sizes, bounds):
            status, most, seconds, errors = peak([tool, *arguments, "--memory", size, "--quiet"], folder)
            cell = f"{most / (1 << 20):.0f}"
            if status != 0:
                code = errors[errors.rfind("[") + 1:errors.rfind("]")] if "[" in errors else errors
                cell += f" {code}"
                isKept = isKept and code.endswith("memory")
            if most > bound + OWN_BYTE_COUNT:
                cell += " over"
                isKept = False
            cells.append(f"{cell}, {seconds:.1f} s")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    sys.exit(not isKept)


main()
