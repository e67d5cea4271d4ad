#include "blockwise.h"
#include "lattices.h"

#pragma STDC FP_CONTRACT OFF

/* The block types whose quants are points of a lattice, or of a table. Layouts by ggml-common.h of llama.cpp; `d` is the scale
   of a block. */

INLINE uint32_t u16_at(const uint8_t *bytes) { return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8; }
INLINE uint32_t u32_at(const uint8_t *bytes) { return u16_at(bytes) | u16_at(bytes + 2) << 16; }

/* The signs of eight numbers of which seven are stored: the number of minuses is even. */
INLINE uint32_t even_signs(uint32_t seven) { return seven | (uint32_t)__builtin_parity(seven) << 7; }

/* Eight numbers of a point of two bits each. */
INLINE void put_eight(uint32_t point, uint32_t signs, float scale, float *restrict out) {
    static const int magnitudes[4] = {0x08, 0x19, 0x2B, 0};
    for (int i = 0; i < 8; i++) {
        int magnitude = magnitudes[point >> 2 * i & 3];
        out[i] = scale * (float)(signs >> i & 1 ? -magnitude : magnitude);
    }
}

/* Four numbers of a point of four bits each, by a table of magnitudes. */
INLINE void put_four(uint32_t point, const uint8_t *magnitudes, uint32_t signs, float scale, float *restrict out) {
    for (int i = 0; i < 4; i++) {
        int magnitude = magnitudes[point >> 4 * i & 7];
        out[i] = scale * (float)(signs >> i & 1 ? -magnitude : magnitude);
    }
}

/* 2 bytes d; for 32 numbers each, four bytes of points and a word of four times seven signs and a scale of 4 bits. */
WIDE void untangle_dequantize_iq2_xxs(const void *blocks, size_t count, float *restrict out) {
    FOR_BLOCKS(66, 256) {
        float d = half_at(block);
        for (int group = 0; group < 8; group++) {
            const uint8_t *points = block + 2 + group * 8;
            uint32_t word = u32_at(points + 4);
            float scale = d * (0.5f + (float)(word >> 28)) * 0.25f;
            for (int i = 0; i < 4; i++) {
                put_eight(lattice_iq2_xxs[points[i]], even_signs(word >> 7 * i & 127), scale, out + group * 32 + i * 8);
            }
        }
    }
}

/* 2 bytes d; 32 words of a point of 9 bits and seven signs, for 8 numbers each; 8 bytes of scales of 4 bits, for 16 each. */
WIDE void untangle_dequantize_iq2_xs(const void *blocks, size_t count, float *restrict out) {
    FOR_BLOCKS(74, 256) {
        float d = half_at(block);
        for (int i = 0; i < 32; i++) {
            uint32_t word = u16_at(block + 2 + i * 2);
            float scale = d * (0.5f + (float)(block[66 + i / 4] >> i / 2 % 2 * 4 & 15)) * 0.25f;
            put_eight(lattice_iq2_xs[word & 511], even_signs(word >> 9), scale, out + i * 8);
        }
    }
}

/* 2 bytes d; 32 bytes of points, 32 bytes of signs, 8 bytes of the upper 2 bits of points; 8 bytes of scales as in IQ2_XS. */
WIDE void untangle_dequantize_iq2_s(const void *blocks, size_t count, float *restrict out) {
    FOR_BLOCKS(82, 256) {
        float d = half_at(block);
        for (int i = 0; i < 32; i++) {
            uint32_t point = block[2 + i] | (uint32_t)(block[66 + i / 4] >> i % 4 * 2 & 3) << 8;
            float scale = d * (0.5f + (float)(block[74 + i / 4] >> i / 2 % 2 * 4 & 15)) * 0.25f;
            put_eight(lattice_iq2_s[point], block[34 + i], scale, out + i * 8);
        }
    }
}

/* 2 bytes d; 64 bytes of points, for 4 numbers each; for 32 numbers each, a word of signs and scale as in IQ2_XXS. */
WIDE void untangle_dequantize_iq3_xxs(const void *blocks, size_t count, float *restrict out) {
    static const uint8_t magnitudes[8] = {0x04, 0x0C, 0x14, 0x1C, 0x24, 0x2C, 0x34, 0x3E};
    FOR_BLOCKS(98, 256) {
        float d = half_at(block);
        for (int group = 0; group < 8; group++) {
            uint32_t word = u32_at(block + 66 + group * 4);
            float scale = d * (0.5f + (float)(word >> 28)) * 0.5f;
            for (int i = 0; i < 8; i++) {
                uint32_t signs = even_signs(word >> 7 * (i / 2) & 127) >> i % 2 * 4;
                put_four(lattice_iq3_xxs[block[2 + group * 8 + i]], magnitudes, signs, scale, out + group * 32 + i * 4);
            }
        }
    }
}

/* 2 bytes d; 64 bytes of points, for 4 numbers each, 8 bytes of their ninth bits; 32 bytes of signs; 4 bytes of scales of 4
   bits, for 32 numbers each. */
WIDE void untangle_dequantize_iq3_s(const void *blocks, size_t count, float *restrict out) {
    static const uint8_t magnitudes[8] = {0x01, 0x03, 0x05, 0x07, 0x09, 0x0B, 0x0D, 0x0F};
    FOR_BLOCKS(110, 256) {
        float d = half_at(block);
        for (int i = 0; i < 64; i++) {
            uint32_t point = block[2 + i] | (uint32_t)(block[66 + i / 8] >> i % 8 & 1) << 8;
            float scale = d * (float)(1 + 2 * (block[106 + i / 16] >> i / 8 % 2 * 4 & 15));
            put_four(lattice_iq3_s[point], magnitudes, block[74 + i / 2] >> i % 2 * 4, scale, out + i * 4);
        }
    }
}

/* Eight numbers of a point of two bits each, which stand for -1, 0 and 1, shifted by an eighth. */
INLINE void put_shifted(uint32_t point, float shift, float scale, float *restrict out) {
    for (int i = 0; i < 8; i++) out[i] = scale * ((float)((int)(point >> 2 * i & 3) - 1) + shift);
}

/* 2 bytes d; 32 bytes of points, for 8 numbers each; for 32 numbers each, a word of four times 3 upper bits of points, a scale
   of 3 bits and the sign of the shift. */
WIDE void untangle_dequantize_iq1_s(const void *blocks, size_t count, float *restrict out) {
    FOR_BLOCKS(50, 256) {
        float d = half_at(block);
        for (int i = 0; i < 32; i++) {
            uint32_t word = u16_at(block + 34 + i / 4 * 2);
            float scale = d * (float)(2 * (word >> 12 & 7) + 1);
            uint32_t point = block[2 + i] | (word >> i % 4 * 3 & 7) << 8;
            put_shifted(lattice_iq1[point], word & 0x8000 ? -0.125f : 0.125f, scale, out + i * 8);
        }
    }
}

/* 32 bytes of points, for 8 numbers each; 16 bytes of twice 3 upper bits of points and the sign of the shift; four words of
   four scales of 3 bits, for 16 numbers each, and 4 bits of d. */
WIDE void untangle_dequantize_iq1_m(const void *blocks, size_t count, float *restrict out) {
    FOR_BLOCKS(56, 256) {
        uint8_t bytes[2] = {(uint8_t)(block[49] >> 4 | (block[51] & 0xF0)), (uint8_t)(block[53] >> 4 | (block[55] & 0xF0))};
        float d = half_at(bytes);
        for (int i = 0; i < 32; i++) {
            float scale = d * (float)(2 * (u16_at(block + 48 + i / 8 * 2) >> i / 2 % 4 * 3 & 7) + 1);
            uint32_t high = block[32 + i / 2] >> i % 2 * 4 & 15;
            uint32_t point = block[i] | (high & 7) << 8;
            put_shifted(lattice_iq1[point], high & 8 ? -0.125f : 0.125f, scale, out + i * 8);
        }
    }
}

static const int8_t iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/* As Q4_0, with levels of a table. */
WIDE void untangle_dequantize_iq4_nl(const void *blocks, size_t count, float *restrict out) {
    FOR_BLOCKS(18, 32) {
        float d = half_at(block);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)iq4_levels[block[2 + i] & 15];
            out[16 + i] = d * (float)iq4_levels[block[2 + i] >> 4];
        }
    }
}

/* 2 bytes d; 2 bytes of upper 2 bits and 4 bytes of lower 4 bits of eight scales; 16 bytes as in IQ4_NL for 32 numbers each. */
WIDE void untangle_dequantize_iq4_xs(const void *blocks, size_t count, float *restrict out) {
    FOR_BLOCKS(136, 256) {
        float d = half_at(block);
        for (int group = 0; group < 8; group++) {
            int low = block[4 + group / 2] >> group % 2 * 4 & 15, high = (int)(u16_at(block + 2) >> group * 2 & 3);
            float scale = d * (float)((low | high << 4) - 32);
            const uint8_t *quants = block + 8 + group * 16;
            for (int i = 0; i < 16; i++) {
                out[group * 32 + i] = scale * (float)iq4_levels[quants[i] & 15];
                out[group * 32 + 16 + i] = scale * (float)iq4_levels[quants[i] >> 4];
            }
        }
    }
}
