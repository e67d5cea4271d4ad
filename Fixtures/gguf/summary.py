"""Prints what the Python package gguf reads of a file: metadata with their types, tensors with the SHA-256 of their bytes."""

import hashlib
import json
import sys

import gguf

reader = gguf.GGUFReader(sys.argv[1])
metadata = {
    key: {"type": field.types[0].name, "value": field.contents()}
    for key, field in reader.fields.items()
    if not key.startswith("GGUF.")
}
tensors = [
    {
        "name": tensor.name, "dtype": tensor.tensor_type.name, "shape": [int(dim) for dim in reversed(tensor.shape)],
        "sha256": hashlib.sha256(tensor.data.tobytes()).hexdigest(),
    }
    for tensor in reader.tensors
]
print(json.dumps({"metadata": metadata, "tensors": tensors}))
