"""Makes the .skein files of this folder and expected.tsv, which lists their tensors.

    python3 make_fixtures.py PATH-OF-UNTANGLE [NAME...]

The tensors come from numpy (written with 2.4.6, seed 20) and their SHA-256 are taken here, before the tool under test sees them;
`untangle convert` only makes the .skein files. The files are kept because readers must go on reading them: make new ones
under new names, and replace these only when the format itself changes. With names only those files are made.
"""

import hashlib
import json
import os
import struct
import subprocess
import sys
import tempfile

import numpy

random = numpy.random.default_rng(20)


def bf16(values):
    return (values.astype("<f4").view("<u4") >> 16).astype("<u2")


def specials(bits):
    """Zeros, subnormals, infinities and NaN payloads of both signs."""
    edges = {16: [0, 1, 0x3FF, 0x7C00, 0x7C01, 0x7E00, 0x7FFF, 0x7F80, 0x7F81, 0x7FC1],
             32: [0, 1, 0x7FFFFF, 0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FC00000, 0x7FFFFFFF],
             64: [0, 1, 0x7FEFFFFFFFFFFFFF, 0x7FF0000000000000, 0x7FF0000000000001, 0x7FF8000000000001]}[bits]
    return numpy.array(edges + [e | 1 << bits - 1 for e in edges], f"<u{bits // 8}")


def weights(*shape):
    return random.normal(0, 0.02, shape).astype("<f4")


def everything():
    tensors = {
        "layers.0.weight": ("BF16", bf16(weights(300, 300))), "layers.1.weight": ("F32", weights(100, 250)),
        "layers.2.weight": ("F16", weights(150, 100).astype("<f2")), "layers.3.weight": ("F64", weights(40, 50).astype("<f8")),
        "special.F16": ("F16", numpy.resize(specials(16), 700)), "special.BF16": ("BF16", numpy.resize(specials(16), 700)),
        "special.F32": ("F32", numpy.resize(specials(32), 600)), "special.F64": ("F64", numpy.resize(specials(64), 500)),
        "positions": ("I64", numpy.arange(512, dtype="<i8").reshape(1, 512)), "zeros": ("F32", numpy.zeros((150, 150), "<f4")),
        "noise": ("U8", random.integers(0, 256, 3000, "u1")), "mask": ("BOOL", random.integers(0, 2, (64, 64), "u1")),
        "quantised": ("F8_E4M3", random.binomial(200, 0.3, 5000).astype("u1")),
        "packed": ("F4", random.integers(0, 256, 100, "u1"), [10, 20]),
        "scalar": ("F32", numpy.array(3.5, "<f4")), "empty": ("BF16", numpy.zeros((0, 7), "<u2")),
        "naïve.名前": ("I32", random.integers(-9, 9, 50, "<i4")),
    }
    return {n: (t[0], list(t[2] if len(t) > 2 else t[1].shape), t[1].tobytes()) for n, t in tensors.items()}


def pair():
    base = {"a": weights(300, 200), "b": weights(100, 100), "head": weights(10, 100)}
    tuned = {"a": base["a"] + random.normal(0, 2e-5, (300, 200)).astype("<f4"),
             "b": base["b"] + random.normal(0, 2e-4, (100, 100)).astype("<f4"), "head": weights(12, 100)}
    pack = lambda t: {n: ("BF16" if n == "a" else "F32", list(v.shape), (bf16(v) if n == "a" else v).tobytes()) for n, v in t.items()}
    return pack(base), pack(tuned)


def compact():
    """Small tensors, zeros and repeated rows."""
    random = numpy.random.default_rng(21)
    small = lambda *shape: random.normal(0, 0.02, shape).astype("<f4")
    tensors = {f"layers.{i}.bias": ("F32", small(40)) if i % 4 == 0 else ("BF16", bf16(small(3, 30))) for i in range(70)}
    tensors |= {f"layers.{i}.steps": ("I64", numpy.array(i, "<i8")) for i in range(0, 70, 9)}
    sparse = small(200, 150)
    sparse[random.random(sparse.shape) < 0.9] = 0
    sparse[0, :5] = -0.0
    tensors["sparse"] = ("BF16", bf16(sparse))
    tensors["mask"] = ("U8", (random.random((100, 101)) < 0.2).astype("u1"))
    # Rows of 390 bytes straddle the chunks of 128 KiB.
    tensors["rows"] = ("BF16", bf16(small(20, 195))[random.integers(0, 20, 900)])
    return {n: (t[0], list(t[1].shape), t[1].tobytes()) for n, t in tensors.items()}


def narrow(base):
    """F32 that began as the BF16 of the base."""
    numbers = (numpy.frombuffer(base["a"][2], "<u2").astype("<u4") << 16).view("<f4")
    moved = numbers + numpy.random.default_rng(22).normal(0, 2e-6, numbers.shape).astype("<f4")
    return {"a": ("F32", base["a"][1], moved.tobytes())}


def safetensors(path, tensors):
    header, data = {"__metadata__": {"source": "make_fixtures.py"}}, b""
    # Wide types first, as the format likes it.
    for name in sorted(tensors, key=lambda n: (-len(tensors[n][2]), n)):
        dtype, shape, content = tensors[name]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def main(tool, *names):
    here = os.path.dirname(os.path.abspath(__file__))
    all_tensors, (base, tuned) = everything(), pair()
    lines = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, tensors, options in [
                ("everything", all_tensors, ["--chunk-size", "128KiB"]), ("stored", all_tensors, ["--store"]),
                ("base", base, []), ("tuned", tuned, ["--base", os.path.join(here, "base.skein")]),
                ("compact", compact(), ["--chunk-size", "128KiB"]),
                ("narrow", narrow(base), ["--base", os.path.join(here, "base.skein")])]:
            source = os.path.join(scratch, name + ".safetensors")
            safetensors(source, tensors)
            target = os.path.join(here, name + ".skein")
            if not names or name in names:
                subprocess.run([tool, "convert", source, target, "--force", *options], check=True)
            for tensor, (dtype, shape, content) in sorted(tensors.items(), key=lambda item: item[0].encode()):
                digest = hashlib.sha256(content).hexdigest()
                lines.append("\t".join([name + ".skein", tensor, dtype, ",".join(map(str, shape)), digest]))
    with open(os.path.join(here, "expected.tsv"), "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
