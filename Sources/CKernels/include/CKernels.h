#ifndef UNTANGLE_KERNELS_H
#define UNTANGLE_KERNELS_H

#include "blocks.h"
#include "codes.h"

#include <stddef.h>
#include <stdint.h>

/* Loops over F32 that are worth wide registers: compiled for the baseline, AVX2 and AVX-512, of which the loader takes what
   the processor has. Swift cannot compile one function for several processors. Arithmetic is the same in all, without
   fused multiply-add, so that results do not depend on the processor.

   Addresses need no alignment. Buffers do not overlap unless they are the same. */

/* Copies numbers of F32, as they are read from a file. */
void untangle_copy_f32(const void *source, size_t count, void *destination);

/* Widens numbers to F32, each to the same value. NaN keeps its payload. */
void untangle_widen_bf16(const void *source, size_t count, void *destination);
void untangle_widen_f16(const void *source, size_t count, void *destination);
void untangle_widen_f8_e5m2(const void *source, size_t count, void *destination);
void untangle_widen_f8_e4m3(const void *source, size_t count, void *destination);

/* How many numbers are beyond the range of a type, and how many that are not zero became zero. */
typedef struct {
    size_t overflow, underflow;
} untangle_cast_losses;

/* Rounds F32 to nearest, ties to even. What is beyond the range becomes infinite; in F8_E4M3, which has no infinity, it becomes
   NaN, infinities as well. NaN keeps the upper bits of its payload, and becomes a quiet one where those are zero. */
untangle_cast_losses untangle_round_bf16(const void *source, size_t count, void *destination);
untangle_cast_losses untangle_round_f16(const void *source, size_t count, void *destination);
untangle_cast_losses untangle_round_f8_e5m2(const void *source, size_t count, void *destination);
untangle_cast_losses untangle_round_f8_e4m3(const void *source, size_t count, void *destination);

/* Whether NaN or an infinity is among the numbers. */
int untangle_has_non_finite(const float *x, size_t count);

/* The same for numbers as they are stored, at any address: of 16 bits, with the exponent's bits in `exponent` (0x7F80 in
   BF16, 0x7C00 in F16), of F32 and of F64. */
int untangle_has_non_finite_16(const void *source, size_t count, uint16_t exponent);
int untangle_has_non_finite_32(const void *source, size_t count);
int untangle_has_non_finite_64(const void *source, size_t count);

/* Eight sums in F64, whose sum is that of the products: the entries are dealt out in turn. Those after the last whole
   eight are left out. */
void untangle_dot_product(const float *x, const float *y, size_t count, double *sums);
void untangle_sum_of_squares(const float *x, size_t count, double *sums);

/* The same for BF16, squares and sums of up to eight squares rounded to F32; those after the last whole sixteen are left out. */
void untangle_sum_of_squares_bf16(const void *source, size_t count, double *sums);

/* Both at once: the sums cost little while numbers come from memory. */
void untangle_widen_and_square_bf16(const void *source, size_t count, float *destination, double *sums);

/* x = x - base. Returns whether NaN or an infinity was among x. */
int untangle_subtract(const float *base, float *x, size_t count);

/* out = x - base, with x as it is stored, at any address. */
void untangle_difference(const float *base, const void *x, size_t count, float *restrict out);

/* Puts x where its magnitude is not below that of the largest so far, or where it is NaN; NaN stays. */
void untangle_keep_larger(const float *x, size_t count, float *restrict largest);

/* Adds numbers whose magnitude is above epsilon, or that are NaN, to a sum, and counts them. */
void untangle_add_active(const float *x, size_t count, float epsilon, float *restrict sum, float *restrict active);

/* Adds to `count` numbers of a row what a product of low rank has there: x[i] += scale * sum over k of left[k * left_stride] *
   right[k * right_stride + i]. */
void untangle_add_low_rank(float *restrict x, size_t count, const float *restrict left, size_t left_stride,
                           const float *restrict right, size_t right_stride, size_t rank, float scale);
void untangle_add_low_rank_f64(double *restrict x, size_t count, const double *restrict left, size_t left_stride,
                               const double *restrict right, size_t right_stride, size_t rank, double scale);

/* Random numbers of 53 bits: those of the counters `first`, `first` + `step` and so on of splitmix64 from a state. */
void untangle_random_numbers(uint64_t state, uint64_t first, uint64_t step, size_t count, uint64_t *numbers);

/* For magnitude keys, the bits without the sign: counts those from `upper` on and those that equal `pivot`, and sets a
   mark to 1 for the others above `lower` and below `upper`, to 0 elsewhere. Bounds are below 2^31 or, for `upper`, just
   that; `lower` may be 2^32 - 1, which stands for -1. */
void untangle_mark_keys(const float *x, size_t count, uint32_t pivot, uint32_t lower, uint32_t upper, uint8_t *marks,
                        size_t *larger, size_t *equal);

/* Properties of numbers as bits, the first number in the lowest bit of the first word: which are above zero, below zero (NaN
   by its sign), and of their magnitude keys which are at least `upper`, which are `pivot`, and which of the others are above
   `lower`; bounds as for untangle_mark_keys. Each of the five planes takes `stride` words; bits of the last word beyond
   `count` are 0. */
void untangle_planes(const float *x, size_t count, uint32_t pivot, uint32_t lower, uint32_t upper, uint64_t *planes,
                     size_t stride);

/* Adds to three counts, of `words` words of the planes of two vectors: entries that are zero in neither, those of them with
   opposite signs, and entries that are at least `upper` in both. */
void untangle_compare_planes(const uint64_t *a, const uint64_t *b, size_t words, size_t stride, uint64_t *counts);

/* Bits that are set in both. */
uint64_t untangle_count_common(const uint64_t *a, const uint64_t *b, size_t words);

/* For planes of several vectors, each of `words` words: clears in all of them the third and fourth plane at places at which any
   vector has a bit in the fifth, writes these places, and returns at how many places one vector is above zero and another below. */
uint64_t untangle_join_planes(uint64_t *const *planes, size_t vector_count, size_t words, size_t stride,
                              uint64_t *undecided);

/* The magnitude keys of all vectors at places that are given as bits, place by place. Returns how many keys there are. */
size_t untangle_gather_keys(const float *const *x, size_t vector_count, const uint64_t *places, size_t words,
                            uint32_t *keys);

/* Adds, in F64, the inner products of all pairs of rows to `products`, [i * row_count + j] for i <= j; to `of_sums` the sum over
   places of the magnitude of the sum over rows, and to `of_all` that of magnitudes. `count` is a multiple of 8; `space` has
   room for `untangle_row_space` numbers. */
void untangle_add_row_sums(const float *const *x, size_t row_count, size_t count, double *space, double *products,
                           double *of_sums, double *of_all);
size_t untangle_row_space(size_t row_count);

/* The largest entries of several task vectors, of which those count that have the sign of the sum:

       v_e = w_e (x_e - base), 0 where the key of the difference is below limit_e
       s   = sign of the sum of all v_e; zero_sign where that is zero
       out = base + factor * (sum of v_e with sign s) / (sum of their w_e)

   The divisor is left out when `is_averaging` is 0, and counts as 1 below 1e-8. Returns 0 when that was done; otherwise
   there are fewer than 8 entries, or NaN or an infinity is among them, and `out` is not to be used. */
int untangle_elect(const float *base, const float *const *x, const uint32_t *limits, const float *weights,
                   size_t expert_count, size_t count, int zero_sign, int is_averaging, float factor,
                   float *restrict out);

/* Counts numbers by the upper 16 bits of a pattern that orders as they do, and those that have given upper bits by the lower, in a set
   of counters for each; a NaN lies beyond the infinity of its sign. A set has 65,536 counters. */
void untangle_count_upper(const float *x, size_t count, uint32_t *bins);
void untangle_count_lower(const float *x, size_t count, const uint32_t *uppers, size_t upper_count, uint32_t *bins);

/* Sets the largest of the finite numbers, -inf where there is none, and returns the sum of e^(x - largest) over them. */
double untangle_exponential_sum(const float *x, size_t count, double *largest);
double untangle_exponential_sum_f64(const double *x, size_t count, double *largest);

/* The softmax of a row is scale e^(x - largest). */
typedef struct {
    double largest, scale;
} untangle_softmax_scale;

/* The sum of p ln(p / q) over entries that are finite in both, p and q being the softmax plus 1e-8: of a part of two rows, and of whole
   ones, with space for 2 count numbers. */
double untangle_divergence(const float *x, const float *y, size_t count, untangle_softmax_scale of_x,
                           untangle_softmax_scale of_y);
double untangle_divergence_f64(const double *x, const double *y, size_t count, untangle_softmax_scale of_x,
                               untangle_softmax_scale of_y);
double untangle_row_divergence(const float *x, const float *y, size_t count, double *space);
double untangle_row_divergence_f64(const double *x, const double *y, size_t count, double *space);

/* out = |x - y| * scale, the product in double precision. */
void untangle_scaled_distance(const float *x, const float *y, size_t count, double scale, float *restrict out);
void untangle_scaled_distance_f64(const double *x, const double *y, size_t count, double scale, float *restrict out);

/* out = x where the score is not below the threshold or x is not finite, else y. */
void untangle_choose(const float *scores, float threshold, const float *x, const float *y, size_t count,
                     float *restrict out);
void untangle_choose_f64(const float *scores, float threshold, const double *x, const double *y, size_t count,
                         double *restrict out);

/* Loops of layers: e^x within 2 units in the last place for -87 <= x <= 88 (arguments outside are moved
   to the nearer end, NaN stays NaN), the normal distribution function within 1e-7 and e^(-x^2/2). */
void untangle_exponential(float *x, size_t count);
void untangle_normal_distribution(float *restrict x, float *restrict bell, size_t count);

/* Activations, and a gradient times their derivatives. */
void untangle_gelu(float *restrict out, const float *restrict x, size_t count);
void untangle_gelu_gradient(float *restrict gradient, const float *restrict x, size_t count);
void untangle_gelu_tanh(float *restrict out, const float *restrict x, size_t count);
void untangle_gelu_tanh_gradient(float *restrict gradient, const float *restrict x, size_t count);
void untangle_quick_gelu(float *restrict out, const float *restrict x, size_t count);
void untangle_quick_gelu_gradient(float *restrict gradient, const float *restrict x, size_t count);
void untangle_relu(float *restrict out, const float *restrict x, size_t count);
void untangle_relu_gradient(float *restrict gradient, const float *restrict x, size_t count);

/* Replaces rows of `count` numbers by their softmax; where `mask`, which may be null, is 0 the share is exactly 0. */
void untangle_softmax(float *x, const float *mask, size_t rows, size_t count);

/* Turns the gradient of the shares of a softmax into that of its arguments. */
void untangle_softmax_gradient(float *restrict gradient, const float *restrict shares, size_t rows, size_t count);

/* Layer normalisation of rows of `count` numbers, `stride` apart in `x` and `dx`. The gradient adds to `dx` and overwrites the slopes. */
void untangle_layer_norm(float *restrict out, float *restrict mean, float *restrict rstd, const float *restrict x,
                         size_t stride, const float *restrict weight, const float *restrict bias, size_t rows,
                         size_t count, float eps);
void untangle_layer_norm_gradient(float *restrict dx, float *restrict weight_slopes, float *restrict bias_slopes,
                                  const float *restrict gradient, const float *restrict x, size_t stride,
                                  const float *restrict mean, const float *restrict rstd, const float *restrict weight,
                                  size_t rows, size_t count);

/* Adds rows of `count` numbers, `stride` apart, to `out`. */
void untangle_add_rows(float *restrict out, const float *restrict x, size_t stride, size_t rows, size_t count);

/* A step of Adam with decoupled weight decay:

       theta = keep_theta theta - size m / (sqrt(v) / correction + eps),  m += take_first (g - m),  v = keep_second v + take_second g^2

   Returns whether a gradient is NaN or infinite. */
typedef struct {
    float keep_theta, take_first, keep_second, take_second, size, correction, eps;
} untangle_adamw_step;

int untangle_adamw(float *restrict theta, const float *restrict gradient, float *restrict first_moment,
                   float *restrict second_moment, size_t count, untangle_adamw_step step);

/* What the places of a resized row are sums of: place i of `counts[i]` pixels from `starts[i]` on, with the weights from
   `weights[i * stride]` on, in units of 2^-22. */
typedef struct {
    const int32_t *starts, *counts, *weights;
    size_t stride, out_count;
} untangle_taps;

/* Resizes rows of 1 or 3 bytes a pixel, `stride` bytes apart, to rows of `out_count` pixels one behind the other; sums are rounded
   and kept within 0 to 255. */
void untangle_resize_rows(const uint8_t *restrict x, size_t stride, size_t rows, int channels, untangle_taps taps,
                          uint8_t *restrict out);

/* One row of `width` bytes: the sum of `count` rows, `stride` apart. */
void untangle_resize_column(const uint8_t *restrict x, size_t stride, const int32_t *weights, size_t count,
                            size_t width, uint8_t *restrict out);

/* The luma of RGB pixels, by the weights of ITU-R 601 in units of 2^-16. */
void untangle_grey(const uint8_t *restrict rgb, size_t count, uint8_t *restrict out);

/* XXH3-128 of more than 240 bytes, in parts: the eight sums of each whole block of 1024 bytes, whatever is before it; going on with the
   sums of blocks that follow one another; and the halves of the hash, the low one first, once all blocks before the last one are in
   the state, from the end of all `length` bytes, at most 1024 of which are in the last block. */
void untangle_xxh3_sum_blocks(const void *source, size_t count, void *sums);
void untangle_xxh3_fold(const void *sums, size_t count, void *state);
void untangle_xxh3_finish(const void *state, const void *end, size_t length, void *halves);

#endif
