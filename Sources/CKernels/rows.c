/* Sums over rows of numbers side by side, in F64. */
#include "wide.h"

/* Tiles take rows of F64 from the first-level cache, so that every number is widened once. */
enum { tile_rows = 2, tile_columns = 4, stretch = 256 };

/* Adds the products of two rows with four; all sums stay in registers. A product of two F32 is exact in F64, so that fusing it
   with the sum changes nothing. */
INLINE void add_tile(const double *const *a, const double *const *b, size_t count, double *products) {
#pragma clang fp contract(fast)
    D sums[tile_rows][tile_columns] = {0};
    for (size_t i = 0; i < count; i += lanes) {
        D first = *(const D *)(a[0] + i), second = *(const D *)(a[1] + i);
        for (int column = 0; column < tile_columns; column++) {
            D other = *(const D *)(b[column] + i);
            sums[0][column] += first * other;
            sums[1][column] += second * other;
        }
    }
    for (int row = 0; row < tile_rows; row++)
        for (int column = 0; column < tile_columns; column++)
            products[row * tile_columns + column] = SUM(sums[row][column]);
}

INLINE void add_products(const double *wide, size_t row_count, size_t count, double *products) {
    for (size_t row = 0; row < row_count; row += tile_rows) {
        /* Tiles begin at the diagonal; what lies beyond the last row is taken from it and thrown away. */
        for (size_t column = row; column < row_count; column += tile_columns) {
            const double *a[tile_rows], *b[tile_columns];
            double tile[tile_rows * tile_columns];
            for (size_t i = 0; i < tile_rows; i++) a[i] = wide + stretch * (row + i < row_count ? row + i : row_count - 1);
            for (size_t i = 0; i < tile_columns; i++)
                b[i] = wide + stretch * (column + i < row_count ? column + i : row_count - 1);
            add_tile(a, b, count, tile);
            for (size_t i = 0; i < tile_rows && row + i < row_count; i++)
                for (size_t j = 0; j < tile_columns && column + j < row_count; j++)
                    products[(row + i) * row_count + column + j] += tile[i * tile_columns + j];
        }
    }
}

typedef int64_t L __attribute__((vector_size(64), aligned(8), may_alias));
#define MAGNITUDE(v) ((D)((L)(v) & 0x7FFFFFFFFFFFFFFF))

INLINE void add_magnitudes(const double *wide, size_t row_count, size_t count, D *of_sums, D *of_all) {
    D sums = {0}, all = {0};
    for (size_t i = 0; i < count; i += lanes) {
        D sum = {0};
        for (size_t row = 0; row < row_count; row++) {
            D value = *(const D *)(wide + row * stretch + i);
            sum += value;
            all += MAGNITUDE(value);
        }
        sums += MAGNITUDE(sum);
    }
    *of_sums += sums;
    *of_all += all;
}

size_t untangle_row_space(size_t row_count) { return row_count * stretch; }

WIDE void untangle_add_row_sums(const float *const *x, size_t row_count, size_t count, double *space, double *products,
                                 double *of_sums, double *of_all) {
    D sums = {0}, all = {0};
    for (size_t start = 0; start < count; start += stretch) {
        size_t length = count - start < stretch ? count - start : stretch;
        for (size_t row = 0; row < row_count; row++)
            for (size_t i = 0; i < length; i += lanes)
                *(D *)(space + row * stretch + i) = DOUBLES(*(const F *)(x[row] + start + i));
        add_products(space, row_count, length, products);
        add_magnitudes(space, row_count, length, &sums, &all);
    }
    *of_sums += SUM(sums);
    *of_all += SUM(all);
}
