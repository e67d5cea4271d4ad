"""Writes the fixtures of this folder with the safetensors library, for byte-for-byte comparison with our writer.

Made with Python 3.11, safetensors 0.8.0 (Rust core), no other library. Run: python make_fixtures.py
Each file has at most one metadata key, because the library leaves several in random order.
"""

import ctypes
import pathlib

import safetensors

HERE = pathlib.Path(__file__).resolve().parent

# Name in the header, name in the Python interface, bits of an element.
DTYPES = [
    ("BOOL", "bool", 8), ("F4", "float4_e2m1fn_x2", 4), ("U8", "uint8", 8), ("I8", "int8", 8),
    ("F8_E5M2", "float8_e5m2", 8), ("F8_E4M3", "float8_e4m3fn", 8), ("F8_E8M0", "float8_e8m0fnu", 8),
    ("F8_E4M3FNUZ", "float8_e4m3fnuz", 8), ("F8_E5M2FNUZ", "float8_e5m2fnuz", 8),
    ("I16", "int16", 16), ("U16", "uint16", 16), ("F16", "float16", 16), ("BF16", "bfloat16", 16),
    ("I32", "int32", 32), ("U32", "uint32", 32), ("F32", "float32", 32), ("C64", "complex64", 64),
    ("F64", "float64", 64), ("I64", "int64", 64), ("U64", "uint64", 64),
]


def noise(count, seed):
    """Bytes of a linear congruential generator (Numerical Recipes)."""
    state = seed
    out = bytearray()
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        out.append(state >> 24)
    return bytes(out)


def write(file, tensors, metadata=None):
    buffers = {name: ctypes.create_string_buffer(data, max(len(data), 1)) for name, _, _, data in tensors}
    specs = {
        name: safetensors.TensorSpec(
            dtype=dtype, shape=shape, data_ptr=ctypes.addressof(buffers[name]), data_len=len(data))
        for name, dtype, shape, data in tensors
    }
    (HERE / file).write_bytes(safetensors.serialize(specs, metadata))


every = []
for seed, (_, dtype, bits) in enumerate(DTYPES):
    # The interface takes the packed shape of F4, two elements to a byte, and doubles the last dimension.
    shape = [3, 5]
    size = 15 if bits == 4 else 15 * bits // 8
    data = bytes(b & 1 for b in noise(size, seed)) if dtype == "bool" else noise(size, seed)
    every.append((f"layer.{dtype}", dtype, shape, data))
write("every_dtype.safetensors", every, {"format": "pt"})

write("shapes.safetensors", [
    ("scalar", "float32", [], noise(4, 100)),
    ("empty", "float32", [0], b""),
    ("empty_middle", "int64", [3, 0, 7], b""),
    ("flag", "bool", [], b"\x01"),
    ("ones", "uint8", [1] * 12, noise(1, 101)),
    ("same_type_b", "float32", [2], noise(8, 102)),
    ("same_type_a", "float32", [2], noise(8, 103)),
])

write("names.safetensors", [
    (name, "float16", [2], noise(4, 200 + index))
    for index, name in enumerate([
        "", " ", "\u00e9", "e\u0301", "\u5c42.0", "\U0001f984", "\uffee", "quote\"back\\slash/", "tab\tnewline\nbell\x07", "nul\x00end",
        "delete\x7f", "\u2028", "../up", "/abs", "Case", "case",
    ])
], {"k\"e\\y\n": "v\u00e4lue \x1f"})

write("nothing.safetensors", [])
