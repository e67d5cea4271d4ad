/* What the decoders of block types share. The baseline has no instructions for F16. */
#ifndef UNTANGLE_BLOCKWISE_H
#define UNTANGLE_BLOCKWISE_H

#include "wide.h"

/* Goes through `blocks` with `block` while `out` goes through the numbers. */
#define FOR_BLOCKS(bytes, elements) \
    const uint8_t *block = blocks;  \
    for (size_t b = 0; b < count; b++, block += bytes, out += elements)

/* The number of an F16, at any address. A NaN keeps its payload. */
INLINE float half_at(const uint8_t *bytes) {
    uint32_t half = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8;
    uint32_t magnitude = (half & 0x7FFF) << 13, bits;
    if (magnitude >= 0x7C00 << 13) {
        bits = magnitude + (0xFF - 0x1F) * 0x800000u;
    } else if (magnitude >= 0x400 << 13) {
        bits = magnitude + (127 - 15) * 0x800000u;
    } else {
        /* Below the normal numbers they are multiples of 2^-24. */
        float number = (float)(half & 0x3FF) * 0x1p-24f;
        memcpy(&bits, &number, 4);
    }
    bits |= (half & 0x8000) << 16;
    float number;
    memcpy(&number, &bits, 4);
    return number;
}

/* Rounds to F16, nearest even. A NaN keeps the top of its payload, or becomes the smallest if that is zero. */
INLINE void put_half(float number, uint8_t *bytes) {
    uint32_t bits;
    memcpy(&bits, &number, 4);
    uint32_t magnitude = bits & 0x7FFFFFFF, half;
    if (magnitude > 0x7F800000) {
        half = 0x7C00 | (magnitude >> 13 & 0x3FF);
        half += half == 0x7C00;
    } else if (magnitude >= 0x477FF000) {
        half = 0x7C00;
    } else if (magnitude >= 0x38800000) {
        half = (magnitude - (127 - 15) * 0x800000u + 0xFFF + (magnitude >> 13 & 1)) >> 13;
    } else {
        /* The sum has its last place where the F16 has, so that the addition rounds. */
        float sum;
        memcpy(&sum, &magnitude, 4);
        sum += 0.5f;
        memcpy(&half, &sum, 4);
        half -= 0x3F000000;
    }
    half |= bits >> 16 & 0x8000;
    bytes[0] = (uint8_t)half;
    bytes[1] = (uint8_t)(half >> 8);
}

#endif
