#include "blockwise.h"

#pragma STDC FP_CONTRACT OFF

/* Layouts by ggml-common.h of llama.cpp. `d` is the scale of a block, `m` what is added or taken off.

   An operand that is NaN may meet another: both are then passed on in the order in which they stand here. */

/* 2 bytes d; 16 bytes, of which the lower halves hold the first 16 numbers, the upper halves the others. */
WIDE void untangle_dequantize_q4_0(const void *blocks, size_t count, float *restrict out) {
    FOR_BLOCKS(18, 32) {
        float d = half_at(block);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)((block[2 + i] & 15) - 8);
            out[16 + i] = d * (float)((block[2 + i] >> 4) - 8);
        }
    }
}

/* As Q4_0, with 2 bytes m behind d. */
WIDE void untangle_dequantize_q4_1(const void *blocks, size_t count, float *restrict out) {
    FOR_BLOCKS(20, 32) {
        float d = half_at(block), m = half_at(block + 2);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)(block[4 + i] & 15) + m;
            out[16 + i] = d * (float)(block[4 + i] >> 4) + m;
        }
    }
}

/* The fifth bits of 32 numbers, as bits of worth 16. */
INLINE void fifth_bits(const uint8_t *bytes, uint8_t *restrict bits) {
    for (int i = 0; i < 32; i++) bits[i] = (uint8_t)((bytes[i / 8] >> i % 8 & 1) << 4);
}

/* As Q4_0, with 4 bytes of fifth bits behind d. */
WIDE void untangle_dequantize_q5_0(const void *blocks, size_t count, float *restrict out) {
    FOR_BLOCKS(22, 32) {
        float d = half_at(block);
        uint8_t high[32];
        fifth_bits(block + 2, high);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)((block[6 + i] & 15) + high[i] - 16);
            out[16 + i] = d * (float)((block[6 + i] >> 4) + high[16 + i] - 16);
        }
    }
}

/* As Q4_1, with 4 bytes of fifth bits behind m. */
WIDE void untangle_dequantize_q5_1(const void *blocks, size_t count, float *restrict out) {
    FOR_BLOCKS(24, 32) {
        float d = half_at(block), m = half_at(block + 2);
        uint8_t high[32];
        fifth_bits(block + 4, high);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)((block[8 + i] & 15) + high[i]) + m;
            out[16 + i] = d * (float)((block[8 + i] >> 4) + high[16 + i]) + m;
        }
    }
}

/* 2 bytes d; 32 signed bytes. */
WIDE void untangle_dequantize_q8_0(const void *blocks, size_t count, float *restrict out) {
    FOR_BLOCKS(34, 32) {
        float d = half_at(block);
        for (int i = 0; i < 32; i++) out[i] = (float)(int8_t)block[2 + i] * d;
    }
}

WIDE void untangle_quantize_q8_0(const float *restrict x, size_t count, void *restrict blocks) {
    uint8_t *block = blocks;
    for (size_t b = 0; b < count; b++, block += 34, x += 32) {
        /* Magnitudes are ordered as their bits are, NaN above all others. */
        uint32_t largest = 0;
        for (int i = 0; i < 32; i++) {
            uint32_t bits;
            memcpy(&bits, x + i, 4);
            bits &= 0x7FFFFFFF;
            largest = bits > largest ? bits : largest;
        }
        float magnitude;
        memcpy(&magnitude, &largest, 4);
        float d = magnitude / 127;
        put_half(d, block);
        float inverse = d == 0 ? 0 : 1 / d;
        if (!(magnitude < __builtin_inff() && inverse < __builtin_inff())) {
            memset(block + 2, 0, 32);
            continue;
        }
        for (int i = 0; i < 32; i++) {
            float number = x[i] * inverse;
            float whole = (float)(int32_t)number, rest = number - whole;
            block[2 + i] = (uint8_t)((int32_t)number + (rest >= 0.5f) - (rest <= -0.5f));
        }
    }
}

/* 16 bytes, a scale in the lower and a minimum in the upper half, for 16 numbers each; 64 bytes of four times 2 bits, of which
   32 bytes hold 128 numbers; 2 bytes d; 2 bytes for the minima. */
WIDE void untangle_dequantize_q2_k(const void *blocks, size_t count, float *restrict out) {
    FOR_BLOCKS(84, 256) {
        float d = half_at(block + 80), m = half_at(block + 82);
        for (int group = 0; group < 16; group++) {
            float scale = d * (float)(block[group] & 15), minimum = m * (float)(block[group] >> 4);
            const uint8_t *quants = block + 16 + group / 8 * 32 + group % 2 * 16;
            int shift = group % 8 / 2 * 2;
            for (int i = 0; i < 16; i++) out[group * 16 + i] = scale * (float)(quants[i] >> shift & 3) - minimum;
        }
    }
}

/* 32 bytes of third bits, 64 bytes of four times 2 bits as in Q2_K, 12 bytes of sixteen scales of 6 bits, 2 bytes d. */
WIDE void untangle_dequantize_q3_k(const void *blocks, size_t count, float *restrict out) {
    FOR_BLOCKS(110, 256) {
        float d = half_at(block + 108);
        const uint8_t *scales = block + 96;
        for (int group = 0; group < 16; group++) {
            int low = scales[group % 8] >> group / 8 * 4 & 15, high = scales[8 + group % 4] >> group / 4 * 2 & 3;
            float scale = d * (float)((low | high << 4) - 32);
            const uint8_t *quants = block + 32 + group / 8 * 32 + group % 2 * 16, *thirds = block + group % 2 * 16;
            int shift = group % 8 / 2 * 2, bit = group / 2;
            for (int i = 0; i < 16; i++) {
                out[group * 16 + i] = scale * (float)((quants[i] >> shift & 3) - ((thirds[i] >> bit & 1) ^ 1) * 4);
            }
        }
    }
}

/* The scale and the minimum of 32 numbers: eight pairs of 6 bits in 12 bytes. */
INLINE void scale_and_minimum(const uint8_t *bytes, int pair, int *scale, int *minimum) {
    if (pair < 4) {
        *scale = bytes[pair] & 63;
        *minimum = bytes[pair + 4] & 63;
    } else {
        *scale = (bytes[pair + 4] & 15) | bytes[pair - 4] >> 6 << 4;
        *minimum = bytes[pair + 4] >> 4 | bytes[pair] >> 6 << 4;
    }
}

/* 2 bytes d, 2 bytes for the minima, 12 bytes of scales and minima, 128 bytes of which 32 hold 64 numbers: the first in the
   lower halves. */
WIDE void untangle_dequantize_q4_k(const void *blocks, size_t count, float *restrict out) {
    FOR_BLOCKS(144, 256) {
        float d = half_at(block), m = half_at(block + 2);
        for (int pair = 0; pair < 8; pair += 2) {
            int low, lowest, high, highest;
            scale_and_minimum(block + 4, pair, &low, &lowest);
            scale_and_minimum(block + 4, pair + 1, &high, &highest);
            float low_scale = d * (float)low, low_minimum = m * (float)lowest;
            float high_scale = d * (float)high, high_minimum = m * (float)highest;
            const uint8_t *quants = block + 16 + pair * 16;
            float *restrict numbers = out + pair * 32;
            for (int i = 0; i < 32; i++) numbers[i] = low_scale * (float)(quants[i] & 15) - low_minimum;
            for (int i = 0; i < 32; i++) numbers[32 + i] = high_scale * (float)(quants[i] >> 4) - high_minimum;
        }
    }
}

/* As Q4_K, with 32 bytes of fifth bits before the others. */
WIDE void untangle_dequantize_q5_k(const void *blocks, size_t count, float *restrict out) {
    FOR_BLOCKS(176, 256) {
        float d = half_at(block), m = half_at(block + 2);
        const uint8_t *fifths = block + 16;
        for (int pair = 0; pair < 8; pair++) {
            int scale, minimum;
            scale_and_minimum(block + 4, pair, &scale, &minimum);
            float pair_scale = d * (float)scale, pair_minimum = m * (float)minimum;
            const uint8_t *quants = block + 48 + pair / 2 * 32;
            int shift = pair % 2 * 4;
            for (int i = 0; i < 32; i++) {
                int quant = (quants[i] >> shift & 15) | (fifths[i] >> pair & 1) << 4;
                out[pair * 32 + i] = pair_scale * (float)quant - pair_minimum;
            }
        }
    }
}

/* 128 bytes of lower halves, of which 64 hold 128 numbers; 64 bytes of upper 2 bits as in Q2_K; 16 signed scales; 2 bytes d. */
WIDE void untangle_dequantize_q6_k(const void *blocks, size_t count, float *restrict out) {
    FOR_BLOCKS(210, 256) {
        float d = half_at(block + 208);
        for (int group = 0; group < 16; group++) {
            float scale = d * (float)(int8_t)block[192 + group];
            const uint8_t *low = block + group / 8 * 64 + group % 4 * 16;
            const uint8_t *high = block + 128 + group / 8 * 32 + group % 2 * 16;
            int low_shift = group % 8 / 4 * 4, high_shift = group % 8 / 2 * 2;
            for (int i = 0; i < 16; i++) {
                int quant = (low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4;
                out[group * 16 + i] = scale * (float)(quant - 32);
            }
        }
    }
}

/* Number `place` of those that a byte holds as a fraction of 256 to base 3. */
INLINE int ternary(uint8_t byte, uint8_t power) { return ((uint8_t)(byte * power) * 3 >> 8) - 1; }

/* 32 bytes of five numbers, 16 bytes of five, 4 bytes of four, each -1, 0 or 1; 2 bytes d. */
WIDE void untangle_dequantize_tq1_0(const void *blocks, size_t count, float *restrict out) {
    static const uint8_t powers[5] = {1, 3, 9, 27, 81};
    FOR_BLOCKS(54, 256) {
        float d = half_at(block + 52);
        for (int p = 0; p < 5; p++) {
            for (int i = 0; i < 32; i++) out[p * 32 + i] = d * (float)ternary(block[i], powers[p]);
            for (int i = 0; i < 16; i++) out[160 + p * 16 + i] = d * (float)ternary(block[32 + i], powers[p]);
        }
        for (int p = 0; p < 4; p++) {
            for (int i = 0; i < 4; i++) out[240 + p * 4 + i] = d * (float)ternary(block[48 + i], powers[p]);
        }
    }
}

/* 64 bytes of four times 2 bits as in Q2_K; 2 bytes d. */
WIDE void untangle_dequantize_tq2_0(const void *blocks, size_t count, float *restrict out) {
    FOR_BLOCKS(66, 256) {
        float d = half_at(block + 64);
        for (int group = 0; group < 8; group++) {
            const uint8_t *quants = block + group / 4 * 32;
            int shift = group % 4 * 2;
            for (int i = 0; i < 32; i++) out[group * 32 + i] = d * (float)((quants[i] >> shift & 3) - 1);
        }
    }
}

/* Twice the numbers of E2M1. */
static const int8_t doubled_e2m1[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* 1 byte of E8M0, 16 bytes as in Q4_0 of E2M1. */
WIDE void untangle_dequantize_mxfp4(const void *blocks, size_t count, float *restrict out) {
    FOR_BLOCKS(17, 32) {
        /* Half of the scale: 2^-127 and its half are no normal numbers. */
        uint32_t bits = block[0] < 2 ? 0x00200000u << block[0] : (uint32_t)(block[0] - 1) << 23;
        float d;
        memcpy(&d, &bits, 4);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)doubled_e2m1[block[1 + i] & 15];
            out[16 + i] = d * (float)doubled_e2m1[block[1 + i] >> 4];
        }
    }
}

/* 4 bytes of E4M3 for 16 numbers each, whose NaN counts as zero; 8 bytes each of E2M1. */
WIDE void untangle_dequantize_nvfp4(const void *blocks, size_t count, float *restrict out) {
    FOR_BLOCKS(36, 64) {
        for (int group = 0; group < 4; group++) {
            uint8_t scale = block[group];
            int exponent = scale >> 3 & 15;
            float fraction = (float)(scale & 7), d;
            if (scale == 0x7F) {
                d = 0;
            } else if (exponent == 0) {
                d = fraction * 0x1p-10f;
            } else {
                d = (1 + fraction / 8) * (float)(1 << exponent) * 0x1p-8f;
            }
            const uint8_t *quants = block + 4 + group * 8;
            for (int i = 0; i < 8; i++) {
                out[group * 16 + i] = d * (float)doubled_e2m1[quants[i] & 15];
                out[group * 16 + 8 + i] = d * (float)doubled_e2m1[quants[i] >> 4];
            }
        }
    }
}
