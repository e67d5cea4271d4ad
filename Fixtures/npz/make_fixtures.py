"""Makes the files of this folder: arrays and archives as NumPy and Python's zipfile write them.

Run with Python 3.11, numpy 2.4.6; seed 20240229. The output depends on nothing else:

    python make_fixtures.py

`expected.tsv` lists every tensor: file, name, dtype, shape, SHA-256 of its little-endian row-major bytes.
"""

import hashlib
import io
import pathlib
import zipfile

import numpy as np

HERE = pathlib.Path(__file__).parent
rng = np.random.default_rng(20240229)
rows = []

DTYPES = {
    "BOOL": np.bool_, "U8": np.uint8, "I8": np.int8, "U16": np.uint16, "I16": np.int16, "U32": np.uint32,
    "I32": np.int32, "U64": np.uint64, "I64": np.int64, "F16": np.float16, "F32": np.float32, "F64": np.float64,
    "C64": np.complex64, "C128": np.complex128,
}
EPOCH = (1980, 1, 1, 0, 0, 0)


def random(dtype, shape):
    """Any bit pattern: signalling NaNs and subnormals are data like other data."""
    dtype = np.dtype(dtype)
    count = int(np.prod(shape, dtype=np.int64))
    if dtype == np.bool_:
        return rng.integers(0, 2, count, dtype=np.uint8).view(np.bool_).reshape(shape)
    return np.frombuffer(rng.bytes(count * dtype.itemsize), dtype=dtype).reshape(shape)


def expect(file, name, dtype, array):
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    digest = hashlib.sha256(np.ascontiguousarray(little).tobytes()).hexdigest()
    rows.append("\t".join([file, name, dtype, ",".join(map(str, array.shape)), digest]))


def npy(array, **keywords):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, **keywords)
    return stream.getvalue()


def save(file, array, dtype, **keywords):
    (HERE / file).write_bytes(npy(array, **keywords))
    expect(file, "arr", dtype, array)


class Stream(io.RawIOBase):
    """Cannot seek, so zipfile writes sizes and sums behind the data."""

    def __init__(self, path):
        self.file = open(path, "wb")

    def writable(self):
        return True

    def write(self, data):
        return self.file.write(data)


class CodePage437(zipfile.ZipInfo):
    def _encodeFilenameFlags(self):
        return self.filename.encode("cp437"), self.flag_bits


def archive(file, arrays, target=None, method=zipfile.ZIP_STORED, info=zipfile.ZipInfo, comment=b"", folders=()):
    with zipfile.ZipFile(target or HERE / file, "w") as out:
        out.comment = comment
        for folder in folders:
            out.writestr(zipfile.ZipInfo(folder, EPOCH), b"")
        for name, (dtype, array) in arrays.items():
            entry = info(name + ".npy", EPOCH)
            entry.compress_type = method
            out.writestr(entry, npy(array))
            expect(file, name, dtype, array)


# Bare arrays as numpy.save writes them; written again they must give the same bytes.
for dtype, kind in DTYPES.items():
    save(f"saved_{dtype}.npy", random(kind, (3, 5)), dtype, version=(1, 0))
save("saved_scalar.npy", random(np.float64, ()), "F64")
save("saved_empty.npy", random(np.float32, (4, 0, 2)), "F32")
save("saved_vector.npy", random(np.int16, (1234,)), "I16")
save("saved_rank9.npy", random(np.uint8, (1, 2, 1, 3, 1, 2, 1, 1, 2)), "U8")

# Other versions, orders and byte orders.
save("version2.npy", random(np.float32, (7,)), "F32", version=(2, 0))
save("version3.npy", random(np.int64, (2, 2)), "I64", version=(3, 0))
save("void2.npy", random(np.uint16, (6, 2)).view("V2"), "V2")
save("void1.npy", random(np.uint8, (5,)).view("V1"), "V1")

layouts = {}
for dtype, kind in DTYPES.items():
    big = np.dtype(kind).newbyteorder(">")
    layouts[f"{dtype}/c"] = (dtype, random(kind, (3, 4, 5)))
    layouts[f"{dtype}/fortran"] = (dtype, np.asfortranarray(random(kind, (3, 4, 5))))
    layouts[f"{dtype}/big"] = (dtype, random(kind, (3, 4, 5)).astype(big))
    layouts[f"{dtype}/big_fortran"] = (dtype, np.asfortranarray(random(kind, (2, 3, 1, 5)).astype(big)))
layouts["rank2_tiles"] = ("F32", np.asfortranarray(random(np.float32, (67, 41))))
layouts["rank5"] = ("U16", np.asfortranarray(random(np.uint16, (2, 3, 4, 5, 6))))
layouts["rank1"] = ("F64", np.asfortranarray(random(np.float64, (9,))))
archive("layouts_stored.npz", layouts)
archive("layouts_deflated.npz", layouts, method=zipfile.ZIP_DEFLATED)

few = {"weight": ("F32", random(np.float32, (4, 3))), "step": ("I64", random(np.int64, ()))}
archive("descriptor_stored.npz", few, target=Stream(HERE / "descriptor_stored.npz"))
archive("descriptor_deflated.npz", few, target=Stream(HERE / "descriptor_deflated.npz"), method=zipfile.ZIP_DEFLATED)
archive("code_page_437.npz", {"gr\u00f6\u00dfe_\u03b1\u00ff": few["weight"], "\u2248\u25a0": few["step"]}, info=CodePage437)
archive("folders_comment.npz", {"model/" + key: value for key, value in few.items()}, comment=b"made by hand",
        folders=["model/", "empty/"])
archive("no_members.npz", {})
compressible = np.zeros((300, 200), np.float32)
compressible[::7] = 1.5
archive("compressible.npz", {"x": ("F32", compressible)}, method=zipfile.ZIP_DEFLATED)

(HERE / "expected.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
