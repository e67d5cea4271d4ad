#ifndef UNTANGLE_CODES_H
#define UNTANGLE_CODES_H

#include <stddef.h>
#include <stdint.h>

/* The parts of quantised weights as libraries store them beside each other: codes, scales and zero points, turned to F32 at
   the speed of memory. Blocks, which hold codes and scales together, are in blocks.h.

   Addresses need no alignment. */

/* The types of the numbers that parts are stored as. F32 holds all but F64, which is rounded. */
typedef enum {
    untangle_f8_e4m3,
    untangle_f8_e5m2,
    untangle_f8_e4m3fnuz,
    untangle_f8_e5m2fnuz,
    /* 2^(code - 127), NaN at 255. */
    untangle_f8_e8m0,
    /* E2M1, two in a byte, the first in the lower half. */
    untangle_f4_e2m1,
    untangle_i8,
    untangle_f16,
    untangle_bf16,
    untangle_f32,
    untangle_f64
} untangle_number_type;

/* The numbers from the one at `first` on. */
void untangle_read_numbers(untangle_number_type type, const void *numbers, size_t first, size_t count,
                           float *restrict out);

/* The same times scales, one for every `width` numbers, the first of which is that of the number at `first`. */
void untangle_read_cells(untangle_number_type type, const void *numbers, size_t first, size_t count, size_t width,
                         const float *restrict scales, float *restrict out);

/* Integers of 2, 4 or 8 bits, several in a word of 32: number i of a word is in the bits from `bits` times `order[i]` on. Those from
   the one at `first` on, each with `added` on it, without what goes beyond its bits. */
void untangle_read_packed(const void *words, int bits, const uint8_t *order, uint32_t added, size_t first, size_t count,
                          float *restrict out);

/* The same integer of every word from the one at `first` on. */
void untangle_read_slices(const void *words, int bits, int place, uint32_t added, size_t first, size_t count,
                          float *restrict out);

/* x = (x - zero) * scale with a zero point, which may be missing, and a scale for every `width` numbers; the first number is at
   `offset` of its cell. */
void untangle_scale_cells(float *restrict x, size_t count, size_t offset, size_t width, const float *restrict zeros,
                          const float *restrict scales);

/* The other way: rounds x * factor / divisor to E4M3, nearest even; what is larger than 448 becomes 448. The numbers are finite. */
void untangle_encode_e4m3(const float *restrict x, size_t count, float factor, float divisor, uint8_t *restrict codes);

/* The largest magnitude, 0 of none; NaN is larger than infinity. */
float untangle_largest_magnitude(const float *x, size_t count);

#endif
