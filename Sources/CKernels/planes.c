/* Properties of numbers as bits, 64 of them in a word, so that many are compared at a time. */
#include "wide.h"

typedef int32_t W __attribute__((vector_size(64), aligned(4), may_alias));
typedef _Bool M __attribute__((ext_vector_type(16)));
enum { word_bits = 64, plane_count = 5 };

/* The lanes of comparisons as bits of a word, from bit `shift` on. */
#define ADD_BITS(word, comparison, shift)                  \
    do {                                                   \
        M mask = __builtin_convertvector((comparison), M); \
        uint16_t bits;                                     \
        memcpy(&bits, &mask, 2);                           \
        (word) |= (uint64_t)bits << (shift);               \
    } while (0)

/* A word of each plane, of 64 numbers. Keys are less than 2^31, so that they compare as signed numbers. */
INLINE void word_of_planes(const float *x, int32_t pivot, int32_t lower, int32_t last, uint64_t *planes,
                           size_t stride) {
    uint64_t up = 0, down = 0, top = 0, same = 0, above = 0;
    for (int shift = 0; shift < word_bits; shift += 16) {
        W value = *(const W *)(x + shift);
        W key = value & 0x7FFFFFFF;
        ADD_BITS(up, value > 0, shift);
        ADD_BITS(down, (value < 0) & (key != 0), shift);
        ADD_BITS(top, key > last, shift);
        ADD_BITS(same, key == pivot, shift);
        ADD_BITS(above, key > lower, shift);
    }
    planes[0] = up;
    planes[stride] = down;
    planes[2 * stride] = top;
    planes[3 * stride] = same & ~top;
    planes[4 * stride] = above & ~top & ~same;
}

WIDE void untangle_planes(const float *x, size_t count, uint32_t pivot, uint32_t lower, uint32_t upper,
                          uint64_t *planes, size_t stride) {
    size_t i = 0;
    for (; i + word_bits <= count; i += word_bits)
        word_of_planes(x + i, (int32_t)pivot, (int32_t)lower, (int32_t)(upper - 1), planes + i / word_bits, stride);
    if (i == count) return;
    float rest[word_bits] = {0};
    memcpy(rest, x + i, (count - i) * sizeof(float));
    uint64_t *word = planes + i / word_bits;
    word_of_planes(rest, (int32_t)pivot, (int32_t)lower, (int32_t)(upper - 1), word, stride);
    for (int plane = 0; plane < plane_count; plane++) word[plane * stride] &= ((uint64_t)1 << (count - i)) - 1;
}

WIDE void untangle_compare_planes(const uint64_t *a, const uint64_t *b, size_t words, size_t stride, uint64_t *counts) {
    const uint64_t *a_down = a + stride, *b_down = b + stride, *a_top = a + 2 * stride, *b_top = b + 2 * stride;
    uint64_t moved = 0, opposed = 0, top = 0;
    for (size_t i = 0; i < words; i++) {
        moved += __builtin_popcountll((a[i] | a_down[i]) & (b[i] | b_down[i]));
        opposed += __builtin_popcountll((a[i] & b_down[i]) | (a_down[i] & b[i]));
        top += __builtin_popcountll(a_top[i] & b_top[i]);
    }
    counts[0] += moved;
    counts[1] += opposed;
    counts[2] += top;
}

WIDE uint64_t untangle_count_common(const uint64_t *a, const uint64_t *b, size_t words) {
    uint64_t count = 0;
    for (size_t i = 0; i < words; i++) count += __builtin_popcountll(a[i] & b[i]);
    return count;
}

WIDE uint64_t untangle_join_planes(uint64_t *const *planes, size_t vector_count, size_t words, size_t stride,
                                   uint64_t *undecided) {
    uint64_t conflicts = 0;
    for (size_t i = 0; i < words; i++) {
        uint64_t up = 0, down = 0, listed = 0;
        for (size_t v = 0; v < vector_count; v++) {
            up |= planes[v][i];
            down |= planes[v][stride + i];
            listed |= planes[v][4 * stride + i];
        }
        for (size_t v = 0; v < vector_count; v++) {
            planes[v][2 * stride + i] &= ~listed;
            planes[v][3 * stride + i] &= ~listed;
        }
        undecided[i] = listed;
        conflicts += __builtin_popcountll(up & down);
    }
    return conflicts;
}

size_t untangle_gather_keys(const float *const *x, size_t vector_count, const uint64_t *places, size_t words,
                            uint32_t *keys) {
    uint32_t *next = keys;
    for (size_t i = 0; i < words; i++) {
        for (uint64_t rest = places[i]; rest; rest &= rest - 1) {
            size_t place = word_bits * i + (size_t)__builtin_ctzll(rest);
            for (size_t v = 0; v < vector_count; v++) *next++ = bits_of(x[v][place]) & 0x7FFFFFFF;
        }
    }
    return (size_t)(next - keys);
}
