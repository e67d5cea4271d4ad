#include "wide.h"

/* Resizing of 8-bit pictures: weighted sums in integers. Sums wrap, so that no weights are undefined behaviour. */

typedef uint8_t B4 __attribute__((vector_size(4), aligned(1), may_alias));
typedef uint8_t B16 __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint32_t U4 __attribute__((vector_size(16)));
typedef uint32_t U16 __attribute__((vector_size(64)));
typedef int32_t I16 __attribute__((vector_size(64)));

enum { fraction_bits = 22 };

INLINE uint8_t clipped(uint32_t sum) {
    int32_t value = (int32_t)sum >> fraction_bits;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* Rows of RGB: three channels and whatever follows at once. The last pixel is put together, since no byte may follow it. */
INLINE void resize_row_rgb(const uint8_t *restrict x, untangle_taps taps, uint8_t *restrict out) {
    for (size_t i = 0; i < taps.out_count; i++) {
        const uint8_t *pixel = x + 3 * (size_t)taps.starts[i];
        const int32_t *weights = taps.weights + i * taps.stride;
        size_t count = (size_t)taps.counts[i];
        U4 sum = (U4){} + (1u << (fraction_bits - 1));
        if (count > 0) {
            for (size_t k = 0; k + 1 < count; k++) {
                sum += __builtin_convertvector(*(const B4 *)(pixel + 3 * k), U4) * (uint32_t)weights[k];
            }
            const uint8_t *last = pixel + 3 * (count - 1);
            sum += (U4){last[0], last[1], last[2], 0} * (uint32_t)weights[count - 1];
        }
        for (int c = 0; c < 3; c++) out[3 * i + c] = clipped(sum[c]);
    }
}

INLINE void resize_row_grey(const uint8_t *restrict x, untangle_taps taps, uint8_t *restrict out) {
    for (size_t i = 0; i < taps.out_count; i++) {
        const uint8_t *pixel = x + taps.starts[i];
        const int32_t *weights = taps.weights + i * taps.stride;
        uint32_t sum = 1u << (fraction_bits - 1);
        for (size_t k = 0; k < (size_t)taps.counts[i]; k++) sum += pixel[k] * (uint32_t)weights[k];
        out[i] = clipped(sum);
    }
}

WIDE void untangle_resize_rows(const uint8_t *restrict x, size_t stride, size_t rows, int channels, untangle_taps taps,
                               uint8_t *restrict out) {
    for (size_t row = 0; row < rows; row++) {
        if (channels == 3) {
            resize_row_rgb(x + row * stride, taps, out + row * 3 * taps.out_count);
        } else {
            resize_row_grey(x + row * stride, taps, out + row * taps.out_count);
        }
    }
}

WIDE void untangle_resize_column(const uint8_t *restrict x, size_t stride, const int32_t *weights, size_t count,
                                 size_t width, uint8_t *restrict out) {
    size_t i = 0;
    for (; i + 16 <= width; i += 16) {
        U16 sum = (U16){} + (1u << (fraction_bits - 1));
        for (size_t k = 0; k < count; k++) {
            sum += __builtin_convertvector(*(const B16 *)(x + k * stride + i), U16) * (uint32_t)weights[k];
        }
        I16 value = (I16)sum >> fraction_bits;
        value &= value > 0;
        I16 above = value > 255;
        value = (value & ~above) | (above & 255);
        *(B16 *)(out + i) = __builtin_convertvector(value, B16);
    }
    for (; i < width; i++) {
        uint32_t sum = 1u << (fraction_bits - 1);
        for (size_t k = 0; k < count; k++) sum += x[k * stride + i] * (uint32_t)weights[k];
        out[i] = clipped(sum);
    }
}

WIDE void untangle_grey(const uint8_t *restrict rgb, size_t count, uint8_t *restrict out) {
    for (size_t i = 0; i < count; i++) {
        out[i] = (uint8_t)((rgb[3 * i] * 19595u + rgb[3 * i + 1] * 38470u + rgb[3 * i + 2] * 7471u + 0x8000u) >> 16);
    }
}
