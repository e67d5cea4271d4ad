#include "wide.h"

#pragma STDC FP_CONTRACT OFF

/* Transcendental functions without calls or branches, so that loops over them become vector code.

   e^x: reduces to r = x - n ln 2 with |r| <= ln 2 / 2, evaluates 1 + r + r^2 p(r) and scales by 2^n through the exponent's bits. The
   coefficients of p are a minimax fit of relative error 5e-11 (Lawson's iteration in double precision). */
INLINE float exponential(float x) {
    x = x > 88.0f ? 88.0f : x;
    x = x < -87.0f ? -87.0f : x;
    /* Adding 1.5 * 2^23 leaves the rounded integer in the low bits of the mantissa. */
    float shifted = x * 1.44269504f + 12582912.0f;
    float n = shifted - 12582912.0f;
    /* ln 2 in two parts, the first short enough for n times it to be exact. */
    float r = (x - n * 0.693359375f) - n * -2.1219444e-4f;
    float p = 0.000199183836f;
    p = p * r + 0.00139460736f;
    p = p * r + 0.00833326392f;
    p = p * r + 0.0416662693f;
    p = p * r + 0.166666672f;
    p = p * r + 0.5f;
    float mantissa = (p * (r * r) + r) + 1.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, 4);
    bits = (bits - 0x4B400000u + 127) << 23;
    float scale;
    memcpy(&scale, &bits, 4);
    return mantissa * scale;
}

/* The normal distribution function, and e^(-x^2/2).

   Near zero 1/2 + x r(x^2), a minimax polynomial of absolute error 3e-10 for |x| <= 1.41. Further out 1 - erfc(|x|/sqrt 2) / 2 with
   erfc = e^(-x^2/2) t q(t), t = 1 / (1 + 0.4 |x|/sqrt 2), the form of Abramowitz and Stegun 7.1.26 with the six coefficients of q
   fitted anew (minimax error of erfc 2.8e-8 in double precision). One form alone would lose bits: the first to the size of its
   terms, the second to rounding about 1/2. */
INLINE float normal_distribution(float x, float *bell) {
    float square = x * x;
    *bell = exponential(-0.5f * square);
    float r = 4.20903348e-7f;
    r = r * square - 8.76586546e-6f;
    r = r * square + 0.00011443608f;
    r = r * square - 0.00118652801f;
    r = r * square + 0.00997322518f;
    r = r * square - 0.0664903224f;
    r = r * square + 0.398942292f;
    float t = 1.0f / (1.0f + 0.28284271f * __builtin_fabsf(x));
    float q = -0.200259045f;
    q = q * t + 0.709146559f;
    q = q * t - 0.370906741f;
    q = q * t + 0.468273222f;
    q = q * t + 0.161823928f;
    q = q * t + 0.231922045f;
    float tail = 0.5f * *bell * (q * t);
    float far = x < 0.0f ? tail : 1.0f - tail;
    return square < 1.99f ? 0.5f + x * r : far;
}

/* 1 / (1 + e^-x), and one minus that without cancellation. */
INLINE float logistic(float x, float *complement) {
    float e = exponential(-x);
    float value = 1.0f / (1.0f + e);
    *complement = e * value;
    return value;
}

WIDE void untangle_exponential(float *x, size_t count) {
    for (size_t i = 0; i < count; i++) x[i] = exponential(x[i]);
}

WIDE void untangle_normal_distribution(float *restrict x, float *restrict bell, size_t count) {
    for (size_t i = 0; i < count; i++) x[i] = normal_distribution(x[i], bell + i);
}

WIDE void untangle_gelu(float *restrict out, const float *restrict x, size_t count) {
    for (size_t i = 0; i < count; i++) {
        float bell;
        out[i] = x[i] * normal_distribution(x[i], &bell);
    }
}

WIDE void untangle_gelu_gradient(float *restrict gradient, const float *restrict x, size_t count) {
    for (size_t i = 0; i < count; i++) {
        float bell, probability = normal_distribution(x[i], &bell);
        gradient[i] *= probability + x[i] * bell * 0.39894228f;
    }
}

INLINE float gate_of_tanh(float v, float *rest) {
    return logistic(1.5957691f * v * (1.0f + 0.044715f * (v * v)), rest);
}

WIDE void untangle_gelu_tanh(float *restrict out, const float *restrict x, size_t count) {
    for (size_t i = 0; i < count; i++) {
        float rest;
        out[i] = x[i] * gate_of_tanh(x[i], &rest);
    }
}

WIDE void untangle_gelu_tanh_gradient(float *restrict gradient, const float *restrict x, size_t count) {
    for (size_t i = 0; i < count; i++) {
        float v = x[i], rest, gate = gate_of_tanh(v, &rest);
        float inner = 1.5957691f * (1.0f + 0.134145f * (v * v));
        gradient[i] *= gate + v * gate * rest * inner;
    }
}

WIDE void untangle_quick_gelu(float *restrict out, const float *restrict x, size_t count) {
    for (size_t i = 0; i < count; i++) {
        float rest;
        out[i] = x[i] * logistic(1.702f * x[i], &rest);
    }
}

WIDE void untangle_quick_gelu_gradient(float *restrict gradient, const float *restrict x, size_t count) {
    for (size_t i = 0; i < count; i++) {
        float v = x[i], rest, gate = logistic(1.702f * v, &rest);
        gradient[i] *= gate + 1.702f * v * gate * rest;
    }
}

/* NaN stays NaN. */
WIDE void untangle_relu(float *restrict out, const float *restrict x, size_t count) {
    for (size_t i = 0; i < count; i++) out[i] = x[i] < 0.0f ? 0.0f : x[i];
}

WIDE void untangle_relu_gradient(float *restrict gradient, const float *restrict x, size_t count) {
    for (size_t i = 0; i < count; i++) gradient[i] = x[i] > 0.0f ? gradient[i] : 0.0f;
}

INLINE float sum_of(const float *x, size_t count) {
    F sums = {0};
    size_t i = 0;
    for (; i + lanes <= count; i += lanes) sums += *(const F *)(x + i);
    float sum = SUM(sums);
    for (; i < count; i++) sum += x[i];
    return sum;
}

INLINE float product_of(const float *x, const float *y, size_t count) {
    F sums = {0};
    size_t i = 0;
    for (; i + lanes <= count; i += lanes) sums += *(const F *)(x + i) * *(const F *)(y + i);
    float sum = SUM(sums);
    for (; i < count; i++) sum += x[i] * y[i];
    return sum;
}

INLINE float largest_of(const float *x, size_t count) {
    float largest = -__builtin_inff();
    size_t i = 0;
    if (count >= lanes) {
        F top = *(const F *)x;
        for (i = lanes; i + lanes <= count; i += lanes) {
            F next = *(const F *)(x + i);
            I is_larger = next > top;
            top = (F)(((I)next & is_larger) | ((I)top & ~is_larger));
        }
        for (int lane = 0; lane < lanes; lane++) largest = top[lane] > largest ? top[lane] : largest;
    }
    for (; i < count; i++) largest = x[i] > largest ? x[i] : largest;
    return largest;
}

WIDE void untangle_softmax(float *x, const float *mask, size_t rows, size_t count) {
    for (size_t r = 0; r < rows; r++) {
        float *row = x + r * count;
        if (mask)
            for (size_t i = 0; i < count; i++) row[i] = mask[i] > 0.0f ? row[i] : -__builtin_inff();
        float largest = largest_of(row, count);
        for (size_t i = 0; i < count; i++) row[i] -= largest;
    }
    /* One loop over all rows: short rows would spend their time in vector remainders. */
    for (size_t i = 0; i < rows * count; i++) x[i] = exponential(x[i]);
    for (size_t r = 0; r < rows; r++) {
        float *row = x + r * count;
        if (mask)
            for (size_t i = 0; i < count; i++) row[i] = mask[i] > 0.0f ? row[i] : 0.0f;
        float share = 1.0f / sum_of(row, count);
        for (size_t i = 0; i < count; i++) row[i] *= share;
    }
}

WIDE void untangle_softmax_gradient(float *restrict gradient, const float *restrict shares, size_t rows, size_t count) {
    for (size_t r = 0; r < rows; r++) {
        float *row = gradient + r * count;
        const float *share = shares + r * count;
        float mean = product_of(row, share, count);
        for (size_t i = 0; i < count; i++) row[i] = share[i] * (row[i] - mean);
    }
}

WIDE void untangle_layer_norm(float *restrict out, float *restrict mean, float *restrict rstd, const float *restrict x,
                              size_t stride, const float *restrict weight, const float *restrict bias, size_t rows,
                              size_t count, float eps) {
    float share = 1.0f / (float)count;
    for (size_t r = 0; r < rows; r++) {
        const float *row = x + r * stride;
        float *target = out + r * count;
        float m = sum_of(row, count) * share;
        for (size_t i = 0; i < count; i++) target[i] = row[i] - m;
        float s = 1.0f / __builtin_sqrtf(product_of(target, target, count) * share + eps);
        for (size_t i = 0; i < count; i++) target[i] = target[i] * s * weight[i] + bias[i];
        mean[r] = m;
        rstd[r] = s;
    }
}

WIDE void untangle_layer_norm_gradient(float *restrict dx, float *restrict weight_slopes, float *restrict bias_slopes,
                                       const float *restrict gradient, const float *restrict x, size_t stride,
                                       const float *restrict mean, const float *restrict rstd,
                                       const float *restrict weight, size_t rows, size_t count) {
    float share = 1.0f / (float)count;
    memset(weight_slopes, 0, count * sizeof(float));
    memset(bias_slopes, 0, count * sizeof(float));
    for (size_t r = 0; r < rows; r++) {
        const float *row = x + r * stride, *g = gradient + r * count;
        float *target = dx + r * stride;
        float m = mean[r], s = rstd[r];
        /* With n = (x - m) s and h = g w:  dx = s (h - mean(h) - n mean(h n)). */
        F sums = {0}, products = {0};
        size_t i = 0;
        for (; i + lanes <= count; i += lanes) {
            F slope = *(const F *)(g + i), n = (*(const F *)(row + i) - m) * s, h = slope * *(const F *)(weight + i);
            sums += h;
            products += h * n;
            *(F *)(weight_slopes + i) += slope * n;
            *(F *)(bias_slopes + i) += slope;
        }
        float sum = SUM(sums), product = SUM(products);
        for (; i < count; i++) {
            float n = (row[i] - m) * s, h = g[i] * weight[i];
            sum += h;
            product += h * n;
            weight_slopes[i] += g[i] * n;
            bias_slopes[i] += g[i];
        }
        float mean_slope = sum * share, mean_product = product * share;
        for (i = 0; i < count; i++)
            target[i] += s * (g[i] * weight[i] - mean_slope - (row[i] - m) * s * mean_product);
    }
}

WIDE void untangle_add_rows(float *restrict out, const float *restrict x, size_t stride, size_t rows, size_t count) {
    size_t r = 0;
    /* Four rows at a time: a quarter of the traffic to the running sums. */
    for (; r + 4 <= rows; r += 4) {
        const float *a = x + r * stride, *b = a + stride, *c = b + stride, *d = c + stride;
        for (size_t i = 0; i < count; i++) out[i] += (a[i] + b[i]) + (c[i] + d[i]);
    }
    for (; r < rows; r++)
        for (size_t i = 0; i < count; i++) out[i] += x[r * stride + i];
}

/* Returns the exponents of gradients, as untangle_has_non_finite adds them up. */
INLINE uint32_t adamw(float *restrict theta, const float *restrict gradient, float *restrict first_moment,
                      float *restrict second_moment, size_t count, const untangle_adamw_step *step) {
    uint32_t top = 0;
    for (size_t i = 0; i < count; i++) {
        float g = gradient[i];
        float first = first_moment[i] + step->take_first * (g - first_moment[i]);
        float second = second_moment[i] * step->keep_second + step->take_second * (g * g);
        first_moment[i] = first;
        second_moment[i] = second;
        float root = __builtin_sqrtf(second) / step->correction + step->eps;
        theta[i] = theta[i] * step->keep_theta - step->size * (first / root);
        top |= (bits_of(g) & 0x7FFFFFFF) + 0x00800000;
    }
    return top;
}

WIDE int untangle_adamw(float *restrict theta, const float *restrict gradient, float *restrict first_moment,
                        float *restrict second_moment, size_t count, untangle_adamw_step step) {
    enum { group = 16 };
    uint32_t top = 0;
    size_t i = 0;
    for (; i + group <= count; i += group) {
        look_ahead(theta + i);
        look_ahead(gradient + i);
        look_ahead(first_moment + i);
        look_ahead(second_moment + i);
        top |= adamw(theta + i, gradient + i, first_moment + i, second_moment + i, group, &step);
    }
    top |= adamw(theta + i, gradient + i, first_moment + i, second_moment + i, count - i, &step);
    return top >> 31;
}
