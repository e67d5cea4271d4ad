#ifndef UNTANGLE_BLOCKS_H
#define UNTANGLE_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

/* Decoders of the quantised block types of GGUF to F32: `count` blocks from `blocks`, at any address, to as many times the
   elements of a block at `out`. Every block has a meaning, so there is nothing to refuse. Products and sums are taken in the
   order of the Python package gguf, and come to the same bits. */

/* Blocks of 32. */
void untangle_dequantize_q4_0(const void *blocks, size_t count, float *restrict out);
void untangle_dequantize_q4_1(const void *blocks, size_t count, float *restrict out);
void untangle_dequantize_q5_0(const void *blocks, size_t count, float *restrict out);
void untangle_dequantize_q5_1(const void *blocks, size_t count, float *restrict out);
void untangle_dequantize_q8_0(const void *blocks, size_t count, float *restrict out);
void untangle_dequantize_mxfp4(const void *blocks, size_t count, float *restrict out);
void untangle_dequantize_iq4_nl(const void *blocks, size_t count, float *restrict out);

/* Blocks of 64. */
void untangle_dequantize_nvfp4(const void *blocks, size_t count, float *restrict out);

/* Blocks of 256. */
void untangle_dequantize_q2_k(const void *blocks, size_t count, float *restrict out);
void untangle_dequantize_q3_k(const void *blocks, size_t count, float *restrict out);
void untangle_dequantize_q4_k(const void *blocks, size_t count, float *restrict out);
void untangle_dequantize_q5_k(const void *blocks, size_t count, float *restrict out);
void untangle_dequantize_q6_k(const void *blocks, size_t count, float *restrict out);
void untangle_dequantize_tq1_0(const void *blocks, size_t count, float *restrict out);
void untangle_dequantize_tq2_0(const void *blocks, size_t count, float *restrict out);
void untangle_dequantize_iq1_s(const void *blocks, size_t count, float *restrict out);
void untangle_dequantize_iq1_m(const void *blocks, size_t count, float *restrict out);
void untangle_dequantize_iq2_xxs(const void *blocks, size_t count, float *restrict out);
void untangle_dequantize_iq2_xs(const void *blocks, size_t count, float *restrict out);
void untangle_dequantize_iq2_s(const void *blocks, size_t count, float *restrict out);
void untangle_dequantize_iq3_xxs(const void *blocks, size_t count, float *restrict out);
void untangle_dequantize_iq3_s(const void *blocks, size_t count, float *restrict out);
void untangle_dequantize_iq4_xs(const void *blocks, size_t count, float *restrict out);

/* Encodes `count` blocks of 32 numbers as Q8_0, as gguf does: the scale is the largest magnitude over 127, numbers are
   rounded half away from zero. Numbers of a block whose scale is not finite, or too small to divide by, become 0. Of several NaN
   in a block that with the largest bits is the scale; which one does in gguf depends on the machine. */
void untangle_quantize_q8_0(const float *restrict x, size_t count, void *restrict blocks);

#endif
