#include "wide.h"

#include <float.h>
#include <math.h>

#pragma STDC FP_CONTRACT OFF

/* How far two rows of numbers differ as distributions, in double precision. Numbers that are not finite count nothing.

   Exponentials and logarithms without calls or branches, so that loops over them become vector code. Products are added without being
   rounded first, in the instructions of processors since 2013, so that all give the same bits. */

#if defined(__x86_64__) && defined(__linux__)
#define FUSED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FUSED
#endif

INLINE double fused(double a, double b, double c) { return __builtin_fma(a, b, c); }

/* e^x for -708 <= x <= 0, smaller x counting as -708, within 1e-14 of it: x = n ln 2 + r with |r| <= ln 2 / 2, the Taylor series of e^r,
   and 2^n through the exponent's bits. */
INLINE double exponential(double x) {
    x = x < -708.0 ? -708.0 : x;
    /* Adding 1.5 * 2^52 leaves the rounded integer in the low bits of the mantissa. */
    double shifted = fused(x, 1.4426950408889634, 6755399441055744.0);
    double n = shifted - 6755399441055744.0;
    /* ln 2 in two parts, the first short enough for n times it to be exact. */
    double r = fused(-n, 0x1.a39ef35793c76p-33, fused(-n, 0x1.62e42feep-1, x));
    double p = 1.0 / 39916800;
    p = fused(p, r, 1.0 / 3628800);
    p = fused(p, r, 1.0 / 362880);
    p = fused(p, r, 1.0 / 40320);
    p = fused(p, r, 1.0 / 5040);
    p = fused(p, r, 1.0 / 720);
    p = fused(p, r, 1.0 / 120);
    p = fused(p, r, 1.0 / 24);
    p = fused(p, r, 1.0 / 6);
    p = fused(p, r, 0.5);
    double mantissa = fused(p, r * r, r) + 1.0;
    uint64_t bits;
    memcpy(&bits, &shifted, 8);
    bits = (bits + 1023) << 52;
    double scale;
    memcpy(&scale, &bits, 8);
    return mantissa * scale;
}

/* ln((1 + s) / (1 - s)) = 2 artanh(s) for |s| <= 1/32 by its series. */
INLINE double twice_artanh(double s) {
    double z = s * s, p = 1.0 / 11;
    p = fused(p, z, 1.0 / 9);
    p = fused(p, z, 1.0 / 7);
    p = fused(p, z, 1.0 / 5);
    p = fused(p, z, 1.0 / 3);
    return 2.0 * fused(s, z * p, s);
}

/* ln x for 2^-60 <= x <= 2^60, within 1e-15 (absolute, near 1 relative to x - 1): x = 2^k f with f between the roots of 1/2 and 2, and
   ln f = 2 artanh((f - 1) / (f + 1)) by its series. */
INLINE double logarithm(double x) {
    uint64_t bits;
    memcpy(&bits, &x, 8);
    /* k + 64 */
    uint64_t power = (bits - 0x3FE6A09E667F3BCDu + (64ull << 52)) >> 52;
    bits -= (power - 64) << 52;
    double f;
    memcpy(&f, &bits, 8);
    power |= 0x4330000000000000u;
    double k;
    memcpy(&k, &power, 8);
    k -= 4503599627370496.0 + 64;
    double s = (f - 1.0) / (f + 1.0), z = s * s, p = 1.0 / 19;
    p = fused(p, z, 1.0 / 17);
    p = fused(p, z, 1.0 / 15);
    p = fused(p, z, 1.0 / 13);
    p = fused(p, z, 1.0 / 11);
    p = fused(p, z, 1.0 / 9);
    p = fused(p, z, 1.0 / 7);
    p = fused(p, z, 1.0 / 5);
    p = fused(p, z, 1.0 / 3);
    return fused(k, 0.6931471805599453, 2.0 * fused(s, z * p, s));
}

/* Sums go to eight lanes, whatever the processor has; a number below zero stands for one that is left out. */
INLINE double sum_of(const double *terms, size_t count) {
    double lanes_of[lanes] = {0};
    size_t i = 0;
    for (; i + lanes <= count; i += lanes)
        for (size_t lane = 0; lane < lanes; lane++) lanes_of[lane] += terms[i + lane] >= 0 ? terms[i + lane] : 0;
    double sum = SUM(lanes_of);
    for (; i < count; i++) sum += terms[i] >= 0 ? terms[i] : 0;
    return sum;
}

/* What fits into the first cache. */
enum { piece = 256 };

/* The sum of p ln(p / q) over a piece, given the exponentials. Where all are nearly equal, one division and a
   short series do for the logarithm. */
INLINE double divergence_of(const double *e_x, const double *e_y, size_t count, double scale_x, double scale_y) {
    double p[piece], q[piece], s[piece], lanes_of[lanes] = {0};
    uint64_t apart = 0;
    for (size_t i = 0; i < count; i++) {
        int is_left_out = e_x[i] < 0 || e_y[i] < 0;
        p[i] = is_left_out ? 1.0 : fused(e_x[i], scale_x, 1e-8);
        q[i] = is_left_out ? 1.0 : fused(e_y[i], scale_y, 1e-8);
        s[i] = (p[i] - q[i]) / (p[i] + q[i]);
        apart |= !(fabs(s[i]) <= 1.0 / 32);
    }
    if (apart)
        for (size_t i = 0; i < count; i++) p[i] *= logarithm(p[i] / q[i]);
    else
        for (size_t i = 0; i < count; i++) p[i] *= twice_artanh(s[i]);
    size_t i = 0;
    for (; i + lanes <= count; i += lanes)
        for (size_t lane = 0; lane < lanes; lane++) lanes_of[lane] += p[i + lane];
    double sum = SUM(lanes_of);
    for (; i < count; i++) sum += p[i];
    return sum;
}

/* e^x for |x| <= 1/16 by its series. */
INLINE double exponential_near_1(double x) {
    double p = 1.0 / 40320;
    p = fused(p, x, 1.0 / 5040);
    p = fused(p, x, 1.0 / 720);
    p = fused(p, x, 1.0 / 120);
    p = fused(p, x, 1.0 / 24);
    p = fused(p, x, 1.0 / 6);
    p = fused(p, x, 0.5);
    return fused(fused(p, x, 1.0), x, 1.0);
}

/* Calls a statement for every piece of a row, at `x + start`. */
#define PIECES(statement)                                                                                       \
    for (size_t start = 0; start < count; start += piece) {                                                     \
        size_t length = count - start < piece ? count - start : piece;                                          \
        statement;                                                                                              \
    }

#define LOOPS(T, most, suffix)                                                                                  \
    INLINE double largest_of##suffix(const T *x, size_t count) {                                                \
        T lanes_of[16], largest = -INFINITY;                                                                    \
        for (size_t lane = 0; lane < 16; lane++) lanes_of[lane] = -INFINITY;                                    \
        size_t i = 0;                                                                                           \
        for (; i + 16 <= count; i += 16)                                                                        \
            for (size_t lane = 0; lane < 16; lane++) {                                                          \
                T number = x[i + lane] <= most ? x[i + lane] : (T)-INFINITY;                                    \
                lanes_of[lane] = number > lanes_of[lane] ? number : lanes_of[lane];                             \
            }                                                                                                   \
        for (size_t lane = 0; lane < 16; lane++) largest = lanes_of[lane] > largest ? lanes_of[lane] : largest; \
        for (; i < count; i++) largest = x[i] <= most && x[i] > largest ? x[i] : largest;                       \
        return largest;                                                                                         \
    }                                                                                                           \
                                                                                                                \
    INLINE void exponentials##suffix(const T *x, size_t count, double largest, double *out) {                   \
        for (size_t i = 0; i < count; i++) {                                                                    \
            double term = exponential(x[i] - largest);                                                          \
            out[i] = fabs((double)x[i]) <= most ? term : -1.0;                                                  \
        }                                                                                                       \
    }                                                                                                           \
                                                                                                                \
    FUSED double untangle_exponential_sum##suffix(const T *x, size_t count, double *largest) {                  \
        double sum = 0, terms[piece], most_of_row = largest_of##suffix(x, count);                               \
        PIECES(exponentials##suffix(x + start, length, most_of_row, terms); sum += sum_of(terms, length))       \
        *largest = most_of_row;                                                                                 \
        return sum;                                                                                             \
    }                                                                                                           \
                                                                                                                \
    FUSED double untangle_divergence##suffix(const T *x, const T *y, size_t count, untangle_softmax_scale of_x, \
                                             untangle_softmax_scale of_y) {                                     \
        double sum = 0, e_x[piece], e_y[piece];                                                                 \
        PIECES(exponentials##suffix(x + start, length, of_x.largest, e_x);                                      \
               exponentials##suffix(y + start, length, of_y.largest, e_y);                                      \
               sum += divergence_of(e_x, e_y, length, of_x.scale, of_y.scale))                                  \
        return sum;                                                                                             \
    }                                                                                                           \
                                                                                                                \
    /* The exponentials of one row by those of another, where the rows are nearly equal; else as they are by themselves. */\
    INLINE void exponentials_beside##suffix(const T *x, double x_largest, const double *e_x, const T *y,        \
                                            double y_largest, size_t count, double *out) {                      \
        uint64_t apart = 0;                                                                                     \
        for (size_t i = 0; i < count; i++) {                                                                    \
            double difference = (y[i] - y_largest) - (x[i] - x_largest);                                        \
            apart |= !(fabs(difference) <= 1.0 / 16);                                                           \
            out[i] = e_x[i] * exponential_near_1(difference);                                                   \
        }                                                                                                       \
        if (apart) exponentials##suffix(y, count, y_largest, out);                                              \
    }                                                                                                           \
                                                                                                                \
    FUSED double untangle_row_divergence##suffix(const T *x, const T *y, size_t count, double *space) {         \
        double *e_x = space, *e_y = space + count, x_sum = 0, y_sum = 0, sum = 0;                               \
        double x_largest = largest_of##suffix(x, count), y_largest = largest_of##suffix(y, count);              \
        PIECES(exponentials##suffix(x + start, length, x_largest, e_x + start);                                 \
               x_sum += sum_of(e_x + start, length);                                                            \
               exponentials_beside##suffix(x + start, x_largest, e_x + start, y + start, y_largest, length,     \
                                           e_y + start);                                                        \
               y_sum += sum_of(e_y + start, length))                                                            \
        PIECES(sum += divergence_of(e_x + start, e_y + start, length, 1 / x_sum, 1 / y_sum))                    \
        return sum;                                                                                             \
    }                                                                                                           \
                                                                                                                \
    FUSED void untangle_scaled_distance##suffix(const T *x, const T *y, size_t count, double scale,             \
                                                float *restrict out) {                                          \
        for (size_t i = 0; i < count; i++) out[i] = (float)(fabs((double)(x[i] - y[i])) * scale);               \
    }                                                                                                           \
                                                                                                                \
    FUSED void untangle_choose##suffix(const float *scores, float threshold, const T *x, const T *y,            \
                                       size_t count, T *restrict out) {                                         \
        for (size_t i = 0; i < count; i++)                                                                      \
            out[i] = ((scores[i] >= threshold) | !(fabs((double)x[i]) <= most)) ? x[i] : y[i];                  \
    }

LOOPS(float, FLT_MAX, )
LOOPS(double, DBL_MAX, _f64)
