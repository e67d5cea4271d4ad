"""What the parts of quantised weights take in Skein, by ZipNN and by zstd.

    python quantised_sizes.py MODEL.safetensors UNTANGLE

MODEL has F32 matrices. They are stored as F8_E4M3 with a scale in F32 for each 128 x 128 (as DeepSeek's models are), as MXFP4 with blocks and
scales (as gpt-oss is), and as the int8 codes and F16 scales of Q8_0; what is no matrix of whole blocks is BF16. Needs numpy, ml_dtypes,
zipnn and zstandard. ZipNN compresses each tensor by itself and knows no names, the others the whole file.
"""

import json
import os
import struct
import subprocess
import sys
import tempfile

import ml_dtypes
import numpy
import zipnn
import zstandard

ZIPNN = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "F8_E4M3": "float8_e4m3fn"}


def load(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    for name, entry in header.items():
        if entry.get("dtype") == "F32":
            begin, end = entry["data_offsets"]
            yield name, numpy.frombuffer(data[begin:end], "<f4").reshape(entry["shape"])


def save(path, tensors):
    header, data = {}, b"".join(array.tobytes() for _, array in tensors.values())
    begin = 0
    for name, (dtype, array) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [begin, begin + array.nbytes]}
        begin += array.nbytes
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def fp8(name, weight):
    rows, columns = weight.shape
    blocks = numpy.zeros((-(-rows // 128), 128, columns // 128, 128), "<f4")
    blocks.reshape(-1, columns)[:rows] = weight
    scale = numpy.abs(blocks).max((1, 3)) / 448
    codes = (blocks / scale[:, None, :, None]).reshape(-1, columns)[:rows].astype(ml_dtypes.float8_e4m3fn)
    return {name: ("F8_E4M3", codes.view("u1")), name + "_scale_inv": ("F32", scale)}


def mxfp4(name, weight):
    blocks = weight.reshape(weight.shape[0], -1, 32)
    exponent = numpy.floor(numpy.log2(numpy.abs(blocks).max(2))) - 2
    codes = (blocks / 2 ** exponent[..., None]).astype(ml_dtypes.float4_e2m1fn).view("u1")
    return {name + "_blocks": ("U8", codes[..., ::2] | codes[..., 1::2] << 4), name + "_scales": ("U8", (exponent + 127).astype("u1"))}


def q8_0(name, weight):
    blocks = weight.reshape(weight.shape[0], -1, 32)
    scale = (numpy.abs(blocks).max(2) / 127).astype("<f2")
    codes = numpy.rint(blocks / scale.astype("<f4")[..., None]).clip(-127, 127).astype("i1")
    return {name + ".codes": ("I8", codes.reshape(weight.shape)), name + ".scales": ("F16", scale)}


def main(model, tool):
    for layout in (fp8, mxfp4, q8_0):
        tensors = {}
        for name, weight in load(model):
            is_whole = weight.ndim == 2 and min(weight.shape) >= 128 and weight.shape[1] % 128 == 0
            tensors |= layout(name, weight) if is_whole else {name: ("BF16", weight.astype(ml_dtypes.bfloat16).view("<u2"))}
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, layout.__name__ + ".safetensors")
            save(path, tensors)
            subprocess.run([tool, "convert", path, path + ".skein", "--quiet"], check=True)
            with open(path, "rb") as file:
                data = file.read()
            sizes = {"skein": os.path.getsize(path + ".skein")}
            for level in (1, 19):
                sizes[f"zstd -{level}"] = len(zstandard.ZstdCompressor(level=level).compress(data))
            sizes["zipnn"] = 0
            for dtype, array in tensors.values():
                coder = zipnn.ZipNN(bytearray_dtype=ZIPNN.get(dtype, "float8_e4m3fn"), input_format="byte", threads=1)
                sizes["zipnn"] += min(len(coder.compress(bytearray(array.tobytes()))), array.nbytes)
            print(layout.__name__, len(data), *(f"{key} {100 * size / len(data):.2f} %" for key, size in sizes.items()), sep="  ")


main(*sys.argv[1:])
