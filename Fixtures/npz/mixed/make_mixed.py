"""Makes archives that hold more than tensors: python make_mixed.py. Needs numpy 2 and ml_dtypes."""

import hashlib
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np

folder = Path(__file__).parent
w = np.array([[1, 2, 3], [4, 5, 6]], "f4")
foreign = {
    "name": np.array("vit-tiny"),
    "raw": np.array([b"a", b"bc"]),
    "made": np.array("2024-01-01", "M8[D]"),
    "settings": np.array({"depth": 2}, dtype=object),
    "record": np.array([(1, 2.0)], [("id", "i4"), ("loss", "f4")]),
}

for name, save in (("mixed_stored.npz", np.savez), ("mixed_deflated.npz", np.savez_compressed)):
    save(folder / name, w=w, **foreign)
    with zipfile.ZipFile(folder / name, "a", zipfile.ZIP_DEFLATED if "deflated" in name else zipfile.ZIP_STORED) as file:
        file.writestr("config.json", '{"depth": 2}')
        file.writestr("empty.txt", "")
        file.writestr("__MACOSX/._w.npy", b"\0\5\26\7")
np.savez(folder / "foreign_only.npz", **foreign)
np.savez(folder / "void.npz", w=w, b=w.astype(ml_dtypes.bfloat16), e=w.astype(ml_dtypes.float8_e4m3fn))
np.savez(folder / "slash.npz", **{"/w": w, "/params/w": w + 1})
with zipfile.ZipFile(folder / "bzip2.npz", "w") as file:
    for name, method in (("w.npy", zipfile.ZIP_STORED), ("z.npy", zipfile.ZIP_BZIP2)):
        info = zipfile.ZipInfo(name)
        info.compress_type = method
        with file.open(info, "w") as member:
            np.lib.format.write_array(member, w)

# Column-major and deflated, behind a header of 66 bytes: blocks of the usual sizes cut elements of 16 bytes.
z = ((np.arange(150 * 300) % 5) * (1 - 2j)).reshape(150, 300)
header = b"{'descr':'<c16','fortran_order':True,'shape':(150,300)}\n"
info = zipfile.ZipInfo("z.npy")
info.compress_type = zipfile.ZIP_DEFLATED
with zipfile.ZipFile(folder / "odd_header.npz", "w") as file:
    file.writestr(info, b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + z.tobytes("F"))
print("odd_header.npz", len(header) + 10, hashlib.sha256(z.tobytes("C")).hexdigest())
