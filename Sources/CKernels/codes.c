#include "blockwise.h"
#include "codes.h"

#pragma STDC FP_CONTRACT OFF

/* A code without its sign, with its fraction in the upper bits of F32's, as F32; `shift` is what the exponent differs by. Codes with an
   exponent of zero are multiples of a power of two: the difference from it is exact. No subnormal is met on the way. */
INLINE uint32_t regular(uint32_t magnitude, uint32_t shift) {
    uint32_t least = (shift + 1) << 23;
    float small = number_of(magnitude + least) - number_of(least);
    uint32_t small_bits;
    memcpy(&small_bits, &small, 4);
    return magnitude < 0x800000 ? small_bits : magnitude + (shift << 23);
}

/* Micikevicius et al. 2022, arXiv:2209.05433: no infinities, one NaN of each sign. */
INLINE float e4m3(uint32_t code) {
    uint32_t low = code & 0x7F;
    uint32_t bits = low == 0x7F ? 0x7FC00000 : regular(low << 20, 127 - 7);
    return number_of(bits | (code & 0x80) << 24);
}

INLINE float e5m2(uint32_t code) {
    uint32_t low = code & 0x7F;
    uint32_t bits = low >= 0x7C ? 0x7F800000 | low << 21 : regular(low << 21, 127 - 15);
    return number_of(bits | (code & 0x80) << 24);
}

/* Noune et al. 2022, arXiv:2206.02915: a bias one higher, one zero, NaN in the place of the other. */
INLINE float e4m3fnuz(uint32_t code) {
    uint32_t bits = regular((code & 0x7F) << 20, 127 - 8) | (code & 0x80) << 24;
    return number_of(code == 0x80 ? 0x7FC00000 : bits);
}

INLINE float e5m2fnuz(uint32_t code) {
    uint32_t bits = regular((code & 0x7F) << 21, 127 - 16) | (code & 0x80) << 24;
    return number_of(code == 0x80 ? 0x7FC00000 : bits);
}

/* OCP Microscaling Formats 1.0. */
INLINE float e8m0(uint32_t code) {
    uint32_t bits = code == 0 ? 0x400000 : code << 23;
    return number_of(code == 255 ? 0x7FC00000 : bits);
}

INLINE float e2m1(uint32_t code) { return number_of(regular((code & 7) << 22, 127 - 1) | (code & 8) << 28); }

#define FOR_BYTES(value)                                                        \
    {                                                                           \
        const uint8_t *bytes = (const uint8_t *)numbers + first;                \
        for (size_t i = 0; i < count; i++) out[i] = value(bytes[i]) * scale;    \
        break;                                                                  \
    }

INLINE float signed_byte(uint8_t byte) { return (float)(int8_t)byte; }

INLINE void read_pairs(const uint8_t *bytes, size_t first, size_t count, float scale, float *restrict out) {
    bytes += first / 2;
    if (first % 2 == 1 && count > 0) {
        *out++ = e2m1(*bytes++ >> 4) * scale;
        count--;
    }
    for (size_t i = 0; i < count / 2; i++) {
        out[2 * i] = e2m1(bytes[i] & 15) * scale;
        out[2 * i + 1] = e2m1(bytes[i] >> 4) * scale;
    }
    if (count % 2 == 1) out[count - 1] = e2m1(bytes[count / 2] & 15) * scale;
}

INLINE void read_numbers(untangle_number_type type, const void *numbers, size_t first, size_t count, float scale,
                         float *restrict out) {
    switch (type) {
    case untangle_f8_e4m3: FOR_BYTES(e4m3)
    case untangle_f8_e5m2: FOR_BYTES(e5m2)
    case untangle_f8_e4m3fnuz: FOR_BYTES(e4m3fnuz)
    case untangle_f8_e5m2fnuz: FOR_BYTES(e5m2fnuz)
    case untangle_f8_e8m0: FOR_BYTES(e8m0)
    case untangle_i8: FOR_BYTES(signed_byte)
    case untangle_f4_e2m1: read_pairs(numbers, first, count, scale, out); break;
    case untangle_f16: {
        const uint8_t *bytes = (const uint8_t *)numbers + 2 * first;
        for (size_t i = 0; i < count; i++) out[i] = half_at(bytes + 2 * i) * scale;
        break;
    }
    case untangle_bf16: {
        const uint8_t *bytes = (const uint8_t *)numbers + 2 * first;
        for (size_t i = 0; i < count; i++) {
            uint16_t half;
            memcpy(&half, bytes + 2 * i, 2);
            out[i] = number_of((uint32_t)half << 16) * scale;
        }
        break;
    }
    case untangle_f32: {
        const uint8_t *bytes = (const uint8_t *)numbers + 4 * first;
        for (size_t i = 0; i < count; i++) {
            float number;
            memcpy(&number, bytes + 4 * i, 4);
            out[i] = number * scale;
        }
        break;
    }
    case untangle_f64: {
        const uint8_t *bytes = (const uint8_t *)numbers + 8 * first;
        for (size_t i = 0; i < count; i++) {
            double wide;
            memcpy(&wide, bytes + 8 * i, 8);
            out[i] = (float)wide * scale;
        }
        break;
    }
    }
}

WIDE void untangle_read_numbers(untangle_number_type type, const void *numbers, size_t first, size_t count,
                                float *restrict out) {
    read_numbers(type, numbers, first, count, 1, out);
}

WIDE void untangle_read_cells(untangle_number_type type, const void *numbers, size_t first, size_t count, size_t width,
                              const float *restrict scales, float *restrict out) {
    size_t length = width - first % width;
    for (size_t done = 0; done < count; done += length, length = width, scales++) {
        if (length > count - done) length = count - done;
        read_numbers(type, numbers, first + done, length, *scales, out + done);
    }
}

INLINE uint32_t word_at(const void *words, size_t place) {
    uint32_t word;
    memcpy(&word, (const uint8_t *)words + 4 * place, 4);
    return word;
}

WIDE void untangle_read_packed(const void *words, int bits, const uint8_t *order, uint32_t added, size_t first,
                               size_t count, float *restrict out) {
    size_t each = 32 / (size_t)bits;
    uint32_t mask = (1u << bits) - 1, shifts[16];
    for (size_t i = 0; i < each; i++) shifts[i] = (uint32_t)bits * order[i];
    for (size_t i = 0; i < count;) {
        uint32_t word = word_at(words, (first + i) / each);
        size_t place = (first + i) % each;
        if (each == 8 && place == 0 && count - i >= 8) {
            for (size_t j = 0; j < 8; j++) out[i + j] = (float)(int32_t)(((word >> shifts[j]) + added) & mask);
            i += 8;
            continue;
        }
        out[i++] = (float)(int32_t)(((word >> shifts[place]) + added) & mask);
    }
}

WIDE void untangle_read_slices(const void *words, int bits, int place, uint32_t added, size_t first, size_t count,
                               float *restrict out) {
    uint32_t mask = (1u << bits) - 1, shift = (uint32_t)(bits * place);
    for (size_t i = 0; i < count; i++) {
        out[i] = (float)(int32_t)(((word_at(words, first + i) >> shift) + added) & mask);
    }
}

WIDE void untangle_scale_cells(float *restrict x, size_t count, size_t offset, size_t width,
                               const float *restrict zeros, const float *restrict scales) {
    if (width == 1) {
        if (zeros) {
            for (size_t i = 0; i < count; i++) x[i] = (x[i] - zeros[i]) * scales[i];
        } else {
            for (size_t i = 0; i < count; i++) x[i] *= scales[i];
        }
        return;
    }
    for (size_t i = 0, cell = 0; i < count; cell++) {
        size_t end = i + width - offset;
        if (end > count) end = count;
        float scale = scales[cell];
        if (zeros) {
            float zero = zeros[cell];
            for (; i < end; i++) x[i] = (x[i] - zero) * scale;
        } else {
            for (; i < end; i++) x[i] *= scale;
        }
        offset = 0;
    }
}

WIDE void untangle_encode_e4m3(const float *restrict x, size_t count, float factor, float divisor, uint8_t *restrict codes) {
    for (size_t i = 0; i < count; i++) {
        float number = x[i] * factor / divisor;
        uint32_t bits;
        memcpy(&bits, &number, 4);
        uint32_t sign = bits >> 24 & 0x80, magnitude = bits & 0x7FFFFFFF;
        uint32_t largest = 0x43E00000;
        magnitude = magnitude > largest ? largest : magnitude;
        uint32_t normal = ((magnitude + 0x7FFFF + (magnitude >> 20 & 1)) >> 20) - ((127 - 7) << 3);
        /* The sum has its last place where the smallest code is, so that the addition rounds. */
        float sum = number_of(magnitude) + 0x1p14f;
        uint32_t small;
        memcpy(&small, &sum, 4);
        small -= 0x46800000;
        codes[i] = (uint8_t)(sign | (magnitude < 0x3C800000 ? small : normal));
    }
}

WIDE float untangle_largest_magnitude(const float *x, size_t count) {
    uint32_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, 4);
        bits &= 0x7FFFFFFF;
        largest = bits > largest ? bits : largest;
    }
    return number_of(largest);
}
