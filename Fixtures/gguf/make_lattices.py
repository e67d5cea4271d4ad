"""Writes Sources/CKernels/lattices.h from the tables of the Python package gguf (0.19): `make_lattices.py > lattices.h`."""

import numpy
from gguf import quants

LATTICES = [
    ("iq2_xxs", quants.IQ2_XXS, 2), ("iq2_xs", quants.IQ2_XS, 2), ("iq2_s", quants.IQ2_S, 2),
    ("iq3_xxs", quants.IQ3_XXS, 4), ("iq3_s", quants.IQ3_S, 4), ("iq1", quants.IQ1_S, 2),
]

print("/* Made by Fixtures/gguf/make_lattices.py: for each point of a lattice, the places of its coordinates in the list of")
print("   magnitudes, the first lowest: two bits for each of eight, or four bits for each of four. */")
print("#ifndef UNTANGLE_LATTICES_H\n#define UNTANGLE_LATTICES_H\n\n#include <stdint.h>")
for name, kind, bits in LATTICES:
    kind.init_grid()
    count, width = kind.grid_shape
    places = numpy.searchsorted(numpy.array(kind.grid_map), kind.grid.reshape(count, width)).astype(int)
    points = [sum(int(place) << bits * i for i, place in enumerate(row)) for row in places]
    print(f"\nstatic const uint16_t lattice_{name}[{count}] = {{")
    for start in range(0, count, 16):
        print("    " + ", ".join(f"0x{point:04X}" for point in points[start:start + 16]) + ",")
    print("};")
print("\n#endif")
