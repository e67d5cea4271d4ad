#include "wide.h"

/* Counts numbers by patterns of 32 bits that order as the numbers do: all bits turned for negative ones, else the sign alone. */

INLINE uint32_t ordered(const float *x) {
    uint32_t bits;
    memcpy(&bits, x, 4);
    return bits ^ ((uint32_t)((int32_t)bits >> 31) | 0x80000000u);
}

enum { piece = 512 };

WIDE void untangle_count_upper(const float *x, size_t count, uint32_t *bins) {
    uint16_t keys[piece];
    for (size_t start = 0; start < count; start += piece) {
        size_t length = count - start < piece ? count - start : piece;
        for (size_t i = 0; i < length; i++) keys[i] = (uint16_t)(ordered(x + start + i) >> 16);
        for (size_t i = 0; i < length; i++) bins[keys[i]]++;
    }
}

WIDE void untangle_count_lower(const float *x, size_t count, const uint32_t *uppers, size_t upper_count,
                               uint32_t *bins) {
    for (size_t start = 0; start < count; start += lanes) {
        size_t length = count - start < lanes ? count - start : lanes;
        for (size_t set = 0; set < upper_count; set++) {
            uint32_t found = 0;
            for (size_t i = 0; i < length; i++) found |= ordered(x + start + i) >> 16 == uppers[set];
            if (!found) continue;
            for (size_t i = 0; i < length; i++) {
                uint32_t key = ordered(x + start + i);
                if (key >> 16 == uppers[set]) bins[set << 16 | (key & 0xFFFF)]++;
            }
        }
    }
}
