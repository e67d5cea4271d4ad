"""Times numpy.linalg.svd on the matrices of `untangle-bench vectors`: eight experts, 768 x 3072 and 768 x 768, F32.

Usage: OPENBLAS_NUM_THREADS=2 python spectra_reference.py
"""
import time
import numpy as np

random = np.random.default_rng(0)
for shape in [(768, 3072), (768, 768)]:
    matrices = [(random.random(shape, dtype=np.float32) * 2 - 1) * np.float32(2e-4) for _ in range(8)]
    for _ in range(3):
        wall, cpu = time.perf_counter(), time.process_time()
        for matrix in matrices: np.linalg.svd(matrix, full_matrices=False)
        print(f"{shape}: {time.perf_counter() - wall:.2f} s, CPU {time.process_time() - cpu:.2f} s")
