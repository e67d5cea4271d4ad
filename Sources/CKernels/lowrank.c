#include "wide.h"

#pragma STDC FP_CONTRACT OFF

/* Every element is summed up in the order of the rank, wherever a run begins, so that runs can be cut anywhere. */

WIDE void untangle_add_low_rank(float *restrict x, size_t count, const float *restrict left, size_t left_stride,
                                const float *restrict right, size_t right_stride, size_t rank, float scale) {
    enum { vectors = 8 };
    size_t i = 0;
    for (; i + vectors * lanes <= count; i += vectors * lanes) {
        F sums[vectors] = {0};
        for (size_t k = 0; k < rank; k++) {
            const F *row = (const F *)(right + k * right_stride + i);
            float factor = left[k * left_stride];
            for (int v = 0; v < vectors; v++) sums[v] += factor * row[v];
        }
        F *out = (F *)(x + i);
        for (int v = 0; v < vectors; v++) out[v] += scale * sums[v];
    }
    for (; i < count; i++) {
        float sum = 0;
        for (size_t k = 0; k < rank; k++) sum += left[k * left_stride] * right[k * right_stride + i];
        x[i] += scale * sum;
    }
}

WIDE void untangle_add_low_rank_f64(double *restrict x, size_t count, const double *restrict left, size_t left_stride,
                                    const double *restrict right, size_t right_stride, size_t rank, double scale) {
    for (size_t i = 0; i < count; i++) {
        double sum = 0;
        for (size_t k = 0; k < rank; k++) sum += left[k * left_stride] * right[k * right_stride + i];
        x[i] += scale * sum;
    }
}
