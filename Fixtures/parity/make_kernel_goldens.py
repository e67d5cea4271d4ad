"""Makes kernels/*.bin: what PyTorch and NumPy make of every eight-bit float and of numbers that are hard to round.

Versions used: numpy 2.4, torch 2.13 (CPU).  Run from this folder: python make_kernel_goldens.py
"""
import numpy as np, torch

# Every bit pattern of the five eight-bit types as F32, in this order.
types = [torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu]
patterns = torch.arange(256, dtype=torch.int32).to(torch.uint8)
np.concatenate([patterns.view(t).to(torch.float32).numpy() for t in types]).astype("<f4").tofile("kernels/eight_bit_values.bin")

# F64 numbers around the rounding boundaries of F16 and BF16, then their roundings: u2 F16 (NumPy rounds F64 to F16 once)
# and u2 BF16 (by exact rational arithmetic on the integers of the format).
rng = np.random.default_rng(11)
def around(values):
    values = np.asarray(values, np.float64)
    return np.concatenate([values, np.nextafter(values, np.inf), np.nextafter(values, -np.inf), values * (1 + 2.0**-40)])
half = np.arange(0, 0x7C00, dtype=np.uint16).view(np.float16).astype(np.float64)
brain = (np.arange(0, 0x7F80, dtype=np.uint32) << 16).view(np.float32).astype(np.float64)
ties16, tiesb = (half[:-1] + half[1:]) / 2, (brain[:-1] + brain[1:]) / 2
x = np.concatenate([around(rng.choice(ties16, 400)), around(ties16[-2:]), around(ties16[:6]), around([65504, 65519.99, 65520, 65536]),
                    around(rng.choice(tiesb, 400)), around(tiesb[-2:]), around(tiesb[:6]), around([3.3961775292304957e38, 1e300, 1e-300]),
                    rng.standard_normal(500), [0.0, np.inf]])
x = np.concatenate([x, -x])
def to_brain(v):
    """Nearest BF16 by exact comparison with both neighbours; the pattern after the largest stands for 2^128."""
    grid = np.concatenate([brain, [2.0**128]])
    m = abs(v)
    if np.isinf(m) or m >= 2.0**128: p = 0x7F80
    else:
        i = int(np.searchsorted(grid, m, side="right")) - 1
        low, high = grid[i], grid[i + 1]
        p = i if m - low < high - m else i + 1 if m - low > high - m else i + (i & 1)
    return p | (0x8000 if np.signbit(v) else 0)
with np.errstate(over="ignore"): f16 = x.astype(np.float16).view(np.uint16)
bf16 = np.array([to_brain(v) for v in x], np.uint16)
with open("kernels/rounding.bin", "wb") as f:          # count i8, then f8[count], u2[count], u2[count]
    np.array([len(x)], "<i8").tofile(f); x.astype("<f8").tofile(f); f16.astype("<u2").tofile(f); bf16.astype("<u2").tofile(f)
print(len(x))
