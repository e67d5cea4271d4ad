"""Exchanges files with numpy, safetensors, huggingface_hub, torch, transformers and gguf, byte by byte.

usage: interop.py FOLDER

What they write, untangle reads to the SHA-256 of the bytes that were given to them; what untangle writes, they read to the same
bytes. A library that cannot be imported is named and its part skipped; the last line says how many tensors were compared.
"""

import hashlib
import importlib
import json
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

folder = Path(sys.argv[1])
random = np.random.default_rng(14)
compared = 0


def untangle(*arguments):
    arguments += ("--force",) if arguments[0] == "convert" else ()
    done = subprocess.run(["untangle", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"untangle {' '.join(map(str, arguments))} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def library(name):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        print(f"note: skipped the exchange with {name}: {error}")


def raw(array):
    """The little-endian row-major bytes of an array."""
    array = np.ascontiguousarray(array)
    return array.astype(array.dtype.newbyteorder("<")).tobytes() if array.dtype.byteorder == ">" else array.tobytes()


def expect(path, tensors, *options):
    """Untangle finds exactly these tensors: name to shape and bytes."""
    global compared
    found = json.loads(untangle("inspect", "--json", "--checksum", path, *options))
    got = {tensor["name"]: (tuple(tensor["shape"]), tensor["sha256"]) for tensor in found["tensors"]}
    want = {name: (tuple(shape), hashlib.sha256(data).hexdigest()) for name, (shape, data) in tensors.items()}
    assert got == want, f"{path}: {[name for name in want.keys() | got.keys() if want.get(name) != got.get(name)]}"
    untangle("verify", path, *options)
    compared += len(want)
    return found


def facts(arrays):
    """Name to shape and bytes."""
    return {name: (tuple(array.shape), raw(array)) for name, array in arrays.items()}


def load(path):
    """The same of a safetensors file, without the types that numpy lacks in between."""
    return {n: (tuple(e["shape"]), bytes(e["data"])) for n, e in safetensors.deserialize(Path(path).read_bytes())}


def same(path, got, tensors):
    """A library found exactly these tensors."""
    global compared
    want = {name: (tuple(shape), data) for name, (shape, data) in tensors.items()}
    assert got == want, f"{path}: {[name for name in want.keys() | got.keys() if want.get(name) != got.get(name)]}"
    compared += len(want)


def noise(dtype, shape):
    """Any bits, NaN among them, but for booleans."""
    dtype = np.dtype(dtype)
    if dtype == bool:
        return random.integers(0, 2, shape).astype(bool)
    count = int(np.prod(shape)) * dtype.itemsize
    return np.frombuffer(random.bytes(count), dtype).reshape(shape)


PLAIN = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "c8"]
SHAPES = [(), (0,), (7,), (3, 0, 2), (5, 3), (2, 3, 4, 5)]
# Names that are paths, controls, other scripts, and two that differ in their bytes alone.
NAMES = ["", "a.b/c", "../x", "tab\there", "ключ", "e\u0301", "\u00e9", '"quoted"\\', "_" * 300]


def exchange_safetensors():
    narrow = [ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2]
    arrays = {f"{np.dtype(t).name}.{n}": noise(t, s) for t in PLAIN + narrow for n, s in enumerate(SHAPES)}
    arrays |= {name: noise("f4", (2, 2)) for name in NAMES}
    tensors = facts(arrays)
    metadata = {"format": "pt", "ключ": "значение\n\"'\u0007", "": ""}
    theirs, ours = folder / "theirs.safetensors", folder / "ours.safetensors"
    safetensors.numpy.save_file(arrays, theirs, metadata=metadata)
    found = expect(theirs, tensors)
    assert found["metadata"] == metadata
    untangle("convert", theirs, ours)
    assert theirs.read_bytes()[-100:] == ours.read_bytes()[-100:]
    same(ours, load(ours), tensors)
    with safetensors.safe_open(ours, "np") as file:
        assert file.metadata() == metadata
    # The types that numpy has no name for.
    specs = {"float8_e8m0fnu": "F8_E8M0", "float8_e4m3fnuz": "F8_E4M3FNUZ", "float8_e5m2fnuz": "F8_E5M2FNUZ"}
    for spec, name in specs.items():
        shape, data = (4, 6), random.bytes(24)
        path = folder / f"{spec}.safetensors"
        memory = np.frombuffer(data, np.uint8)
        tensor = safetensors.TensorSpec(
            dtype=spec, shape=list(shape), data_ptr=memory.ctypes.data, data_len=len(data))
        path.write_bytes(safetensors.serialize({"t": tensor}))
        assert expect(path, {"t": (shape, data)})["tensors"][0]["dtype"] == name
        untangle("convert", path, folder / "again.safetensors")
        [(_, entry)] = safetensors.deserialize((folder / "again.safetensors").read_bytes())
        assert (entry["dtype"], list(entry["shape"]), bytes(entry["data"])) == (name, list(shape), data)
    # Split, and whole again through the index.
    split = folder / "split"
    untangle("convert", theirs, f"{split}/", "--shard-size", "2KB")
    index = json.loads((split / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(len(data) for _, data in tensors.values())
    parts = {}
    for shard in sorted(set(index["weight_map"].values())):
        part = load(split / shard)
        assert {name for name, file in index["weight_map"].items() if file == shard} == part.keys()
        parts |= part
    same(split, parts, tensors)
    untangle("convert", split, folder / "whole.safetensors")
    assert (folder / "whole.safetensors").read_bytes() == ours.read_bytes()
    return arrays


def exchange_numpy():
    arrays = {}
    for code in PLAIN + ["c16"]:
        for place, shape in enumerate(SHAPES):
            array = noise(code, shape)
            name = f"{np.dtype(code).name}.{place}"
            arrays[name] = array
            arrays[name + ".fortran"] = np.asfortranarray(array)
            if np.dtype(code).itemsize > 1:
                arrays[name + ".big"] = array.astype(array.dtype.newbyteorder(">"))
    arrays |= {name: noise("f4", (3,)) for name in NAMES if name and ".." not in name and "\\" not in name}
    del arrays["_" * 300]
    tensors = facts(arrays)
    for save in (np.savez, np.savez_compressed):
        path = folder / f"{save.__name__}.npz"
        save(path, **arrays)
        expect(path, tensors)
        untangle("convert", path, folder / "ours.npz")
        with np.load(folder / "ours.npz") as file:
            same(path, facts({name: file[name] for name in file.files}), tensors)
    for version in [(1, 0), (2, 0), (3, 0)]:
        for name in ["float64.5.big", "complex64.4.fortran", "bool.0", "int16.1"]:
            path = folder / "one.npy"
            with open(path, "wb") as file:
                np.lib.format.write_array(file, arrays[name], version)
            found = json.loads(untangle("inspect", "--json", path))["tensors"][0]["name"]
            expect(path, {found: tensors[name]})
            untangle("convert", path, folder / "ours.npy")
            same(path, facts({name: np.load(folder / "ours.npy")}), {name: tensors[name]})
    # What ml_dtypes leaves of its types, and the way back over F32.
    for dtype, name in [(ml_dtypes.bfloat16, "BF16"), (ml_dtypes.float8_e4m3fn, "F8_E4M3"), (ml_dtypes.float8_e5m2, "F8_E5M2")]:
        array = noise(dtype, (5, 3))
        np.savez(folder / "void.npz", a=array)
        expect(folder / "void.npz", {"a": (array.shape, raw(array))}, "--npy-void", name)
        untangle("convert", folder / "void.npz", folder / "wide.npz", "--npy-void", name, "--upcast")
        wide, exact = np.load(folder / "wide.npz")["a"], array.astype(np.float32)
        assert np.array_equal(wide, exact, equal_nan=True) and np.array_equal(np.signbit(wide), np.signbit(exact)), name


def exchange_torch():
    torch = library("torch")
    if not torch:
        return False
    import safetensors.torch

    types = "bool uint8 int8 int16 uint16 int32 uint32 int64 uint64 float16 bfloat16 float32 float64 complex64".split()
    types += "float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu".split()
    state = {}
    for name in types:
        dtype = getattr(torch, name)
        size = torch.empty((), dtype=dtype).element_size()
        for place, shape in enumerate(SHAPES):
            count = int(np.prod(shape))
            data = random.integers(0, 2 if name == "bool" else 256, count * size, dtype=np.uint8)
            state[f"{name}.{place}"] = torch.from_numpy(data).view(dtype).reshape(shape) if count else torch.empty(shape, dtype=dtype)

    def stored(state):
        def flat(tensor):
            tensor = tensor.detach().resolve_conj().resolve_neg().contiguous()
            return b"" if not tensor.numel() else tensor.reshape(-1).view(torch.uint8).numpy().tobytes()

        return {name: (tuple(tensor.shape), flat(tensor)) for name, tensor in state.items()}

    def checked(path, found):
        global compared
        assert stored(found) == stored(state), path
        assert {n: t.dtype for n, t in found.items()} == {n: t.dtype for n, t in state.items()}, path
        compared += len(state)

    theirs, ours = folder / "torch.safetensors", folder / "ours.safetensors"
    safetensors.torch.save_file(state, theirs)
    expect(theirs, stored(state))
    untangle("convert", theirs, ours)
    checked(ours, safetensors.torch.load_file(ours))
    hub = library("huggingface_hub")
    if hub:
        split = folder / "hub"
        split.mkdir()
        hub.save_torch_state_dict(state, split, max_shard_size=2000)
        assert (split / "model.safetensors.index.json").exists()
        expect(split, stored(state))

    # Views, shared and strided storages, nested dictionaries, as optimisers leave them.
    big = torch.arange(60, dtype=torch.float32).reshape(3, 4, 5)
    views = {"all": big, "row": big[1], "turned": big.permute(2, 0, 1), "column": big[:, 2, 1::2]}
    # Views whose numbers have another sign than those that are stored.
    signs = {}
    for dtype in [torch.complex64, torch.complex128]:
        numbers = torch.from_numpy(random.standard_normal((3, 4, 2))).to(dtype.to_real())
        whole, other = torch.view_as_complex(numbers), torch.view_as_complex(numbers.clone())
        signs |= {
            f"{dtype}.{name}": view for name, view in {
                "whole": whole, "conj": whole.conj(), "mH": whole.mH, "row": whole.mH[2], "part": whole.conj()[1:, ::2],
                "neg": torch._neg_view(whole), "both": torch._neg_view(whole.conj()), "parameter": torch.nn.Parameter(whole.conj()),
                "imag": other.conj().imag, "imag.row": other.mH.imag[1]}.items()}
    for dtype in [torch.float16, torch.bfloat16, torch.float32, torch.float64]:
        signs[f"{dtype}.neg"] = torch._neg_view(big.to(dtype).clone()).permute(1, 2, 0)
    assert all(view.is_conj() or view.is_neg() for name, view in signs.items() if not name.endswith("whole"))
    for state in [state, views, signs]:
        for zipped in [True, False]:
            path = folder / "state.pt"
            torch.save(state, path, _use_new_zipfile_serialization=zipped)
            expect(path, stored(state))
            # safetensors holds no complex numbers of 128 bits.
            held = {name: view for name, view in state.items() if view.dtype != torch.complex128}
            left = [option for name in state.keys() - held.keys() for option in ("--exclude", name)]
            untangle("convert", path, folder / "from-torch.safetensors", *left)
            expect(folder / "from-torch.safetensors", stored(held))


def exchange_transformers():
    transformers, torch = library("transformers"), library("torch")
    if not transformers or not torch:
        return False
    import torchvision_for_another_torch  # noqa: F401

    config = transformers.LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=False)
    model = transformers.LlamaForCausalLM(config).to(torch.bfloat16)
    state = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    tensors = {n: (tuple(t.shape), t.contiguous().view(torch.uint8).numpy().tobytes()) for n, t in state.items()}
    model.save_pretrained(folder / "theirs", max_shard_size="8KB")
    expect(folder / "theirs", tensors)
    ours = folder / "ours-llama"
    untangle("convert", folder / "theirs", f"{ours}/", "--shard-size", "10KB")
    (ours / "config.json").write_bytes((folder / "theirs/config.json").read_bytes())
    again = transformers.LlamaForCausalLM.from_pretrained(ours, dtype=torch.bfloat16).state_dict()
    assert again.keys() == state.keys() and all(torch.equal(again[name], state[name]) for name in state)


def exchange_gguf():
    global compared
    gguf = library("gguf")
    if not gguf:
        return False
    path = folder / "theirs.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    plain = {f"t.{n}": random.standard_normal((4, 256)).astype(t) for n, t in enumerate(["f4", "f2", "f8", "i1", "i2", "i4", "i8"])}
    for name, array in plain.items():
        writer.add_tensor(name, array)
    decoded = {}
    Type = gguf.GGMLQuantizationType
    for kind in [Type.BF16, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0, Type.TQ1_0, Type.TQ2_0, Type.MXFP4]:
        try:
            blocks = gguf.quants.quantize(random.standard_normal((3, 512)).astype("f4"), kind)
        except NotImplementedError:
            continue
        writer.add_tensor(f"q.{kind.name}", blocks, raw_dtype=kind)
        decoded[f"q.{kind.name}"] = gguf.quants.dequantize(blocks, kind)
    writer.add_string("general.name", "ключ")
    writer.write_header_to_file(), writer.write_kv_data_to_file(), writer.write_tensors_to_file(), writer.close()
    untangle("convert", path, folder / "from-gguf.safetensors")
    wide = safetensors.numpy.load_file(folder / "from-gguf.safetensors")
    for name, array in plain.items():
        assert raw(wide[name]) == raw(array), name
    for name, array in decoded.items():
        got = np.asarray(wide[name]).astype("f4")
        assert got.shape == array.shape and np.array_equal(got, array), name
    untangle("convert", path, folder / "ours.gguf")
    reader = gguf.GGUFReader(folder / "ours.gguf")
    theirs = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    ours = {tensor.name: tensor for tensor in reader.tensors}
    assert ours.keys() == theirs.keys(), ours.keys() ^ theirs.keys()
    for name, tensor in theirs.items():
        assert ours[name].tensor_type == tensor.tensor_type and list(ours[name].shape) == list(tensor.shape), name
        assert ours[name].data.tobytes() == tensor.data.tobytes(), name
    compared += len(theirs) + len(plain) + len(decoded)
    # Quantised here: the same blocks as the package makes.
    square = random.standard_normal((8, 512)).astype("f4")
    safetensors.numpy.save_file({"model.layers.0.w": square}, folder / "square.safetensors")
    untangle("convert", folder / "square.safetensors", folder / "square.gguf", "--dtype", "Q8_0")
    [tensor] = gguf.GGUFReader(folder / "square.gguf").tensors
    assert tensor.data.tobytes() == gguf.quants.quantize(square, Type.Q8_0).tobytes()
    compared += 1
    exchange_edited_gguf(gguf)


def exchange_edited_gguf(gguf):
    """Files that gguf wrote and untangle edited, of two alignments, in place and copied."""
    global compared
    arrays = {f"blk.{n}.w": random.standard_normal((n + 1, 5)).astype("f4") for n in range(3)}

    def found(path):
        reader = gguf.GGUFReader(path)
        fields = {name: field for name, field in reader.fields.items() if not name.startswith("GGUF.")}
        kinds = {name: (field.types[0].name, field.contents()) for name, field in fields.items()}
        return kinds, {tensor.name: tensor.data.tobytes() for tensor in reader.tensors}, reader.alignment

    steps = [
        (["--metadata", "toy.length=9"], {"toy.length": ("UINT32", 9)}, {}),
        (["--metadata", "note=ключ", "--metadata", "toy.big:int64=-5"],
         {"note": ("STRING", "ключ"), "toy.big": ("INT64", -5)}, {}),
        (["--remove", "toy.scale"], {"toy.scale": None}, {}),
        (["--rename", "^blk=>layers", "--drop", "blk.1.*"], {},
         {"blk.0.w": "layers.0.w", "blk.1.w": None, "blk.2.w": "layers.2.w"}),
    ]
    for alignment in [None, 64]:
        path, copy = folder / f"edited-{alignment}.gguf", folder / "copy.gguf"
        writer = gguf.GGUFWriter(path, "toy")
        if alignment:
            writer.add_custom_alignment(alignment)
        writer.add_uint32("toy.length", 8)
        writer.add_float32("toy.scale", 0.5)
        writer.add_array("toy.words", ["a", "b"])
        for name, array in arrays.items():
            writer.add_tensor(name, array)
        writer.write_header_to_file(), writer.write_kv_data_to_file(), writer.write_tensors_to_file(), writer.close()
        for options, keys, names in steps:
            metadata, tensors, _ = found(path)
            metadata = {k: v for k, v in (metadata | keys).items() if v}
            tensors = {names.get(name, name): data for name, data in tensors.items() if names.get(name, name)}
            copy.unlink(missing_ok=True)
            untangle("edit", path, "--output", copy, *options)
            untangle("edit", path, *options)
            for file in [path, copy]:
                assert found(file) == (metadata, tensors, alignment or 32), (file, options, found(file))
                compared += len(tensors)


exchanges = [exchange_safetensors, exchange_numpy, exchange_torch, exchange_transformers, exchange_gguf]
done = [exchange.__name__ for exchange in exchanges if exchange() is not False]
print(f"{len(done)} of {len(exchanges)} exchanges, {compared} tensors compared byte by byte")
