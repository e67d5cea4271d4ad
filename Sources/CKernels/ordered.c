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
    uint8_t marks[piece];
    for (size_t start = 0; start < count; start += piece) {
        size_t length = count - start < piece ? count - start : piece;
        memset(marks, 0, sizeof marks);
        for (size_t set = 0; set < upper_count; set++)
            for (size_t i = 0; i < length; i++) marks[i] |= ordered(x + start + i) >> 16 == uppers[set];
        /* Few are marked. */
        for (size_t i = 0; i < piece; i += 8) {
            uint64_t some;
            memcpy(&some, marks + i, 8);
            if (!some) continue;
            for (size_t place = i; place < i + 8; place++) {
                if (!marks[place]) continue;
                uint32_t key = ordered(x + start + place);
                for (size_t set = 0; set < upper_count; set++)
                    if (key >> 16 == uppers[set]) bins[set << 16 | (key & 0xFFFF)]++;
            }
        }
    }
}
