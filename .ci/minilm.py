"""Makes experts, heads and token ids for all-MiniLM-L6-v2, and checks what untangle made of them.

usage: minilm.py make|check MODEL FOLDER
"""

import json
import sys
from pathlib import Path

import numpy as np

NAMES = ("red", "blue")


def read(path):
    """The tensors of a safetensors file as the bytes that they are, by name."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    return header, {
        name: data[8 + length + entry["data_offsets"][0] : 8 + length + entry["data_offsets"][1]] for name, entry in header.items()
    }


def make(model, folder):
    from tokenizers import Tokenizer

    random = np.random.default_rng(2)
    original = (model / "model.safetensors").read_bytes()
    length = int.from_bytes(original[:8], "little")
    header = json.loads(original[8 : 8 + length])
    for name in NAMES:
        expert = bytearray(original)
        for tensor, entry in header.items():
            if not tensor.startswith("encoder.") or entry["dtype"] != "F32":
                continue
            first, last = (8 + length + place for place in entry["data_offsets"])
            weights = np.frombuffer(original[first:last], "<f4")
            expert[first:last] = (weights + random.normal(0, 0.1 * weights.std(), weights.shape)).astype("<f4").tobytes()
        (folder / f"{name}.safetensors").write_bytes(expert)
        np.savez(folder / f"{name}_head.npz", weight=random.normal(0, 2, (4, 384)).astype("float32"))
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    pages = [page.read_text() for page in sorted(Path("docs").rglob("*.md"))]
    lines = [line.strip()[:100] for page in pages for line in page.splitlines() if len(line.strip()) > 20]
    for name, texts in (("auxiliary", lines[0:64]), ("test", lines[64:128])):
        (folder / f"{name}.txt").write_text("\n".join(texts) + "\n")
        encoded = tokenizer.encode_batch(texts)
        np.savez(
            folder / f"{name}.npz",
            input_ids=np.array([text.ids for text in encoded], "int32"),
            attention_mask=np.array([text.attention_mask for text in encoded], "int32"),
            token_type_ids=np.array([text.type_ids for text in encoded], "int32"),
        )


def check(model, folder):
    for name in NAMES:
        header, before = read(folder / f"{name}.safetensors")
        adapted_header, after = read(folder / "adapted" / f"{name}.safetensors")
        assert list(header) == list(adapted_header), "other tensors, or another order"
        untouched = [tensor for tensor in before if before[tensor] == after[tensor]]
        idle = [tensor for tensor in before if tensor.startswith("pooler.") or tensor.endswith("position_ids")]
        assert idle and untouched == idle, f"left as they were: {untouched}"
    plain, adapted = (json.loads((folder / f"{kind}.json").read_text())["total"] for kind in ("plain", "adapted"))
    assert 0 < adapted < 0.9 * plain, f"interference {plain} became {adapted}"
    print(f"MiniLM: interference of the merge fell from {plain:.4f} to {adapted:.4f}")


{"make": make, "check": check}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
