#include "wide.h"

#pragma STDC FP_CONTRACT OFF

typedef uint32_t U __attribute__((vector_size(32), aligned(4), may_alias));

INLINE void widen_bf16(const char *bytes, size_t count, char *destination) {
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, bytes + 2 * i, 2);
        uint32_t bits = (uint32_t)half << 16;
        memcpy(destination + 4 * i, &bits, 4);
    }
}

WIDE void untangle_widen_bf16(const void *source, size_t count, void *destination) {
    const char *bytes = source;
    char *target = destination;
    size_t i = 0;
    for (; i + 32 <= count; i += 32) {
        look_ahead(bytes + 2 * i);
        widen_bf16(bytes + 2 * i, 32, target + 4 * i);
    }
    widen_bf16(bytes + 2 * i, count - i, target + 4 * i);
}

WIDE void untangle_copy_f32(const void *source, size_t count, void *destination) {
    const char *bytes = source;
    char *target = destination;
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        look_ahead(bytes + 4 * i);
        memcpy(target + 4 * i, bytes + 4 * i, 64);
    }
    memcpy(target + 4 * i, bytes + 4 * i, 4 * (count - i));
}

WIDE int untangle_has_non_finite(const float *x, size_t count) {
    /* An exponent of all ones carries into the sign's place. */
    uint32_t top = 0;
    for (size_t i = 0; i < count; i++) top |= (bits_of(x[i]) & 0x7FFFFFFF) + 0x00800000;
    return top >> 31;
}

WIDE int untangle_has_non_finite_16(const void *source, size_t count, uint16_t exponent) {
    const char *bytes = source;
    /* Without the sign, what is not finite is at least the exponent of all ones. */
    uint16_t top = 0;
    for (size_t i = 0; i < count; i++) {
        uint16_t bits;
        memcpy(&bits, bytes + 2 * i, 2);
        uint16_t magnitude = (uint16_t)(bits + bits);
        top = magnitude > top ? magnitude : top;
    }
    return top >= (uint16_t)(exponent + exponent);
}

WIDE int untangle_has_non_finite_32(const void *source, size_t count) {
    const char *bytes = source;
    uint32_t top = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, bytes + 4 * i, 4);
        top |= (bits & 0x7FFFFFFF) + 0x00800000;
    }
    return top >> 31;
}

WIDE int untangle_has_non_finite_64(const void *source, size_t count) {
    const char *bytes = source;
    uint64_t top = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t bits;
        memcpy(&bits, bytes + 8 * i, 8);
        top |= (bits & 0x7FFFFFFFFFFFFFFF) + 0x0010000000000000;
    }
    return top >> 63;
}

WIDE void untangle_dot_product(const float *x, const float *y, size_t count, double *sums) {
    D total = {0};
    for (size_t i = 0; i + lanes <= count; i += lanes)
        total += DOUBLES(*(const F *)(x + i)) * DOUBLES(*(const F *)(y + i));
    *(D *)sums = total;
}

WIDE void untangle_sum_of_squares(const float *x, size_t count, double *sums) {
    D total = {0};
    for (size_t i = 0; i + lanes <= count; i += lanes) {
        D value = DOUBLES(*(const F *)(x + i));
        total += value * value;
    }
    *(D *)sums = total;
}

/* The next 2 * lanes squares, summed up in pairs. Squares of 8 bits of mantissa are exact in F32; the even ones are the lower
   halves. A vector cannot be returned where the baseline lacks its registers. */
INLINE void square_bf16(const char *bytes, F *squares) {
    U pairs = *(const U *)bytes;
    F even = (F)(pairs << 16), odd = (F)(pairs & 0xFFFF0000u);
    *squares = even * even + odd * odd;
}

INLINE void add_squares_bf16(const char *bytes, D *total) {
    F squares[4];
    for (int part = 0; part < 4; part++) square_bf16(bytes + part * sizeof(F), &squares[part]);
    F sum = (squares[0] + squares[1]) + (squares[2] + squares[3]);
    *total += DOUBLES(sum);
}

INLINE void add_last_squares_bf16(const char *bytes, size_t count, D *total) {
    for (size_t i = 0; i + 2 * lanes <= count; i += 2 * lanes) {
        F squares;
        square_bf16(bytes + 2 * i, &squares);
        *total += DOUBLES(squares);
    }
}

WIDE void untangle_sum_of_squares_bf16(const void *source, size_t count, double *sums) {
    const char *bytes = source;
    D total = {0};
    size_t i = 0;
    for (; i + 8 * lanes <= count; i += 8 * lanes) add_squares_bf16(bytes + 2 * i, &total);
    add_last_squares_bf16(bytes + 2 * i, count - i, &total);
    *(D *)sums = total;
}

WIDE void untangle_widen_and_square_bf16(const void *source, size_t count, float *destination, double *sums) {
    const char *bytes = source;
    D total = {0};
    size_t i = 0;
    for (; i + 8 * lanes <= count; i += 8 * lanes) {
        look_ahead(bytes + 2 * i);
        look_ahead(bytes + 2 * i + 64);
        widen_bf16(bytes + 2 * i, 8 * lanes, (char *)(destination + i));
        add_squares_bf16(bytes + 2 * i, &total);
    }
    widen_bf16(bytes + 2 * i, count - i, (char *)(destination + i));
    add_last_squares_bf16(bytes + 2 * i, count - i, &total);
    *(D *)sums = total;
}

WIDE int untangle_subtract(const float *base, float *x, size_t count) {
    uint32_t top = 0;
    for (size_t i = 0; i < count; i++) {
        top |= (bits_of(x[i]) & 0x7FFFFFFF) + 0x00800000;
        x[i] = x[i] - base[i];
    }
    return top >> 31;
}

INLINE void difference(const float *base, const char *bytes, size_t count, float *restrict out) {
    for (size_t i = 0; i < count; i++) {
        float value;
        memcpy(&value, bytes + 4 * i, 4);
        out[i] = value - base[i];
    }
}

WIDE void untangle_difference(const float *base, const void *x, size_t count, float *restrict out) {
    const char *bytes = x;
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        look_ahead(bytes + 4 * i);
        difference(base + i, bytes + 4 * i, 16, out + i);
    }
    difference(base + i, bytes + 4 * i, count - i, out + i);
}

WIDE void untangle_keep_larger(const float *x, size_t count, float *restrict largest) {
    for (size_t i = 0; i < count; i++) {
        /* NaN is not larger than anything and would be lost. */
        int is_larger = !(__builtin_fabsf(x[i]) < __builtin_fabsf(largest[i])) & (largest[i] == largest[i]);
        largest[i] = (is_larger | (x[i] != x[i])) ? x[i] : largest[i];
    }
}

WIDE void untangle_add_active(const float *x, size_t count, float epsilon, float *restrict sum, float *restrict active) {
    for (size_t i = 0; i < count; i++) {
        int is_active = !(__builtin_fabsf(x[i]) <= epsilon);
        sum[i] += is_active ? x[i] : 0;
        active[i] += is_active ? 1 : 0;
    }
}

WIDE void untangle_random_numbers(uint64_t state, uint64_t first, uint64_t step, size_t count, uint64_t *numbers) {
    for (size_t i = 0; i < count; i++) {
        uint64_t z = state + (first + i * step + 1) * 0x9E3779B97F4A7C15u;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        numbers[i] = (z ^ (z >> 31)) >> 11;
    }
}

WIDE void untangle_mark_keys(const float *x, size_t count, uint32_t pivot, uint32_t lower, uint32_t upper,
                             uint8_t *marks, size_t *larger, size_t *equal) {
    uint32_t below = 0, same = 0;
    for (size_t i = 0; i < count; i++) {
        /* The top bit of a difference of keys says which is the larger one; only 0 - 1 sets it otherwise. */
        uint32_t key = bits_of(x[i]) & 0x7FFFFFFF;
        uint32_t is_below = (key - upper) >> 31;
        uint32_t is_pivot = ((key ^ pivot) - 1) >> 31;
        below += is_below;
        same += is_pivot;
        marks[i] = (uint8_t)(is_below & ((lower - key) >> 31) & ~is_pivot);
    }
    *larger += count - below;
    *equal += same;
}

/* Macros, since vectors cannot be arguments where their width depends on the processor. */

/* All ones in the lanes of zeros of either sign. */
#define WHERE_ZERO(x) ((((I)(x) & 0x7FFFFFFF) - 1) >> 31)
/* Sets the top bit for NaN and infinities: an exponent of all ones carries into it. */
#define NON_FINITE(x) (((U)(x) & 0x7FFFFFFFu) + 0x00800000u)
#define ALL(x) ((F){0} + (x))
/* The lanes of `a` where the mask is all ones, of `b` elsewhere. */
#define CHOOSE(mask, a, b) ((F)(((I)(a) & (mask)) | ((I)(b) & ~(mask))))

/* The entries from one place on in all experts. Sets the top bit of lanes of `top` where a number is not finite. */
INLINE void elect(U *top, const float *base, const float *const *x, size_t place, const uint32_t *limits,
                  const float *weights, size_t expert_count, int zero_sign, int is_averaging, float factor,
                  float *restrict out) {
    F origin = *(const F *)(base + place);
    F sum = {0}, plus = {0}, minus = {0}, plus_weight = {0}, minus_weight = {0};
    *top |= NON_FINITE(origin);
    for (size_t e = 0; e < expert_count; e++) {
        F value = *(const F *)(x[e] + place);
        *top |= NON_FINITE(value);
        F change = value - origin;
        I is_dropped = (I)(((U)change & 0x7FFFFFFFu) - limits[e]) >> 31;
        I vote = (I)(weights[e] * change) & ~is_dropped;
        I is_minus = vote >> 31;
        I weight = (I)ALL(weights[e]) & ~WHERE_ZERO(vote);
        sum += (F)vote;
        plus += (F)(vote & ~is_minus);
        minus += (F)(vote & is_minus);
        plus_weight += (F)(weight & ~is_minus);
        minus_weight += (F)(weight & is_minus);
    }
    *top |= NON_FINITE(sum);
    I is_zero = WHERE_ZERO(sum);
    I elects_minus = (((I)sum >> 31) & ~is_zero) | (is_zero & -zero_sign);
    F total = CHOOSE(elects_minus, minus, plus);
    if (is_averaging) {
        F divisor = CHOOSE(elects_minus, minus_weight, plus_weight);
        total = total / CHOOSE((F)((I)divisor & 0x7FFFFFFF) < ALL(1e-8f), ALL(1.0f), divisor);
    }
    *(F *)(out + place) = origin + factor * total;
}

WIDE int untangle_elect(const float *base, const float *const *x, const uint32_t *limits, const float *weights,
                        size_t expert_count, size_t count, int zero_sign, int is_averaging, float factor,
                        float *restrict out) {
    if (count < lanes) return 1;
    U top = {0};
    for (size_t i = 0; i + lanes <= count; i += lanes)
        elect(&top, base, x, i, limits, weights, expert_count, zero_sign, is_averaging, factor, out);
    /* The rest once more with some that are done. */
    elect(&top, base, x, count - lanes, limits, weights, expert_count, zero_sign, is_averaging, factor, out);
    uint32_t any = 0;
    for (int lane = 0; lane < lanes; lane++) any |= top[lane];
    return any >> 31;
}
