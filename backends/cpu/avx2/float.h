/* SPDX-License-Identifier: Apache-2.0 */
/* Linears over weights of F16 and F32. */
#ifndef JM_BACKENDS_CPU_AVX2_FLOAT_H
#define JM_BACKENDS_CPU_AVX2_FLOAT_H

#include "backends/cpu/avx2/lanes.h"
#include "backends/cpu/kernels.h"

INLINE void tile_float(const struct jm_packed *w, const float *x, uint32_t cols, float *y,
                       size_t ldy, uint32_t g, const int R, const int G, const int half)
{
    const size_t each = half ? 2 : 4;
    const uint8_t *p = w->data + g * w->group_bytes;
    __m256 acc[12];
#pragma GCC unroll 12
    for (int i = 0; i < R * G; i++)
        acc[i] = _mm256_setzero_ps();
    for (uint32_t k = 0; k < cols; k++) {
#pragma GCC unroll 8
        for (int j = 0; j < G; j++) {
            const uint8_t *q = p + (size_t)j * w->group_bytes + k * LANES * each;
            __m256 wk = half ? _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)q))
                             : _mm256_loadu_ps((const float *)(const void *)q);
#pragma GCC unroll 6
            for (int r = 0; r < R; r++)
                acc[r * G + j] =
                    _mm256_fmadd_ps(wk, _mm256_set1_ps(x[(size_t)r * cols + k]), acc[r * G + j]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 8
        for (int j = 0; j < G; j++) {
            uint32_t o = (g + (uint32_t)j) * LANES;
            store(y + (size_t)r * ldy + o, acc[r * G + j], w->t.rows - o);
        }
    }
}

INLINE void linear_float(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                         float *y, size_t ldy, uint32_t g0, uint32_t g1, const int half)
{
    uint32_t cols = x->cols, g = g0, r;
    for (; g + 2 <= g1; g += 2) {
        if (n_rows < 4 && g + 8 <= g1) {
            for (r = 0; r < n_rows; r++)
                tile_float(w, x->f + (size_t)r * cols, cols, y + r * ldy, ldy, g, 1, 8, half);
            g += 6;
            continue;
        }
        for (r = 0; r + 4 <= n_rows; r += 4)
            tile_float(w, x->f + (size_t)r * cols, cols, y + r * ldy, ldy, g, 4, 2, half);
        for (; r < n_rows; r++)
            tile_float(w, x->f + (size_t)r * cols, cols, y + r * ldy, ldy, g, 1, 2, half);
    }
    for (; g < g1; g++) {
        for (r = 0; r < n_rows; r++)
            tile_float(w, x->f + (size_t)r * cols, cols, y + r * ldy, ldy, g, 1, 1, half);
    }
}

#endif
