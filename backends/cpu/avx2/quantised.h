/* SPDX-License-Identifier: Apache-2.0 */
/* Linears over quantised weights. */
#ifndef JM_BACKENDS_CPU_AVX2_QUANTISED_H
#define JM_BACKENDS_CPU_AVX2_QUANTISED_H

#include "backends/cpu/avx2/levels.h"
#include "backends/cpu/avx2/one_row.h"

/* Q8, Q4, Q2: one scale for 32 inputs. */
INLINE void tile_plain(const struct jm_packed *w, const struct jm_acts *x, uint32_t row,
                       __m256 *sum, uint32_t g, const int R, const enum jm_pack_kind kind)
{
    const int bits = kind == JM_PACK_Q8 ? 8 : kind == JM_PACK_Q4 ? 4 : 2;
    const int offset = kind == JM_PACK_Q8 ? Q8_OFFSET : kind == JM_PACK_Q4 ? 8 : 1;
    const uint32_t n = x->cols / BLOCK;
    const uint8_t *p = w->data + g * w->group_bytes, *scale = p + w->scales;
    for (uint32_t b = 0; b < n; b++, p += LANES * BLOCK * bits / 8, scale += LANES * 2) {
        const __m256 d = halves_to_ps(scale);
        __m256i s[4];
#pragma GCC unroll 4
        for (int r = 0; r < R; r++)
            s[r] = _mm256_set1_epi32(-offset * x->sum[(size_t)(row + (uint32_t)r) * n + b]);
        dot_steps(s, p, x->q + (size_t)row * x->cols + (size_t)b * BLOCK, x->cols, 0, 8, R, kind);
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            const float dx = x->d[(size_t)(row + (uint32_t)r) * n + b];
            sum[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(s[r]), _mm256_mul_ps(d, _mm256_set1_ps(dx)),
                                     sum[r]);
        }
    }
}

/* w = d scale q - dmin offset: sum += d scale dx (q . x) - dmin offset (dx sum of x) */
INLINE void tile_q4k(const struct jm_packed *w, const struct jm_acts *x, uint32_t row, __m256 *sum,
                     uint32_t g, const int R)
{
    const uint32_t n = x->cols / BLOCK;
    const uint8_t *p = w->data + g * w->group_bytes;
    for (uint32_t b = 0; b < n; b++) {
        const uint8_t *k = p + w->scales + (size_t)(b / 8) * 20 * LANES;
        const __m256 scale = _mm256_mul_ps(halves_to_ps(k), bytes_to_ps(k + (4 + b % 8) * LANES));
        const __m256 offset =
            _mm256_mul_ps(halves_to_ps(k + 2 * LANES), bytes_to_ps(k + (12 + b % 8) * LANES));
        __m256i s[4];
#pragma GCC unroll 4
        for (int r = 0; r < R; r++)
            s[r] = _mm256_setzero_si256();
        dot_steps(s, p + (size_t)b * 128, x->q + (size_t)row * x->cols + (size_t)b * BLOCK, x->cols,
                  0, 8, R, JM_PACK_Q4K);
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            const size_t at = (size_t)(row + (uint32_t)r) * n + b;
            sum[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(s[r]),
                                     _mm256_mul_ps(scale, _mm256_set1_ps(x->d[at])), sum[r]);
            sum[r] = _mm256_fnmadd_ps(offset, _mm256_set1_ps(x->dsum[at]), sum[r]);
        }
    }
}

/* w = d scale (q - 32), with a scale for each 16 inputs. The scales are multiplied in as integers:
 * a block is at most 2 * 16 * 32 * 127 * 128 < 2^24, which F32 takes unrounded. */
INLINE void tile_q6k(const struct jm_packed *w, const struct jm_acts *x, uint32_t row, __m256 *sum,
                     uint32_t g, const int R)
{
    const uint32_t n = x->cols / BLOCK;
    const uint8_t *p = w->data + g * w->group_bytes;
    for (uint32_t b = 0; b < n; b++) {
        const uint8_t *k = p + w->scales + (size_t)(b / 8) * 18 * LANES;
        const uint8_t *scales = k + (2 + b % 8 * 2) * LANES, *block = p + (size_t)b * 192;
        const int8_t *q = x->q + (size_t)row * x->cols + (size_t)b * BLOCK;
        const __m256 d = halves_to_ps(k);
        __m256i s[4];
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            const size_t at = (size_t)(row + (uint32_t)r) * n + b;
            s[r] = _mm256_sub_epi32(_mm256_setzero_si256(), q6k_offset(scales, x->sum16 + 2 * at));
        }
        dot_scaled(s, block, q, x->cols, 0, 4, R, JM_PACK_Q6K, factor_of(scales));
        dot_scaled(s, block, q, x->cols, 4, 8, R, JM_PACK_Q6K, factor_of(scales + LANES));
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            const float dx = x->d[(size_t)(row + (uint32_t)r) * n + b];
            sum[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(s[r]), _mm256_mul_ps(d, _mm256_set1_ps(dx)),
                                     sum[r]);
        }
    }
}

INLINE void tile_quantised(const struct jm_packed *w, const struct jm_acts *x, uint32_t row,
                           float *y, size_t ldy, uint32_t g, const int R,
                           const enum jm_pack_kind kind)
{
    __m256 sum[4];
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
        sum[r] = _mm256_setzero_ps();
    if (kind == JM_PACK_Q4K)
        tile_q4k(w, x, row, sum, g, R);
    else if (kind == JM_PACK_Q6K)
        tile_q6k(w, x, row, sum, g, R);
    else
        tile_plain(w, x, row, sum, g, R, kind);
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
        store(y + (size_t)(row + (uint32_t)r) * ldy + (size_t)g * LANES, sum[r],
              w->t.rows - g * LANES);
}

INLINE void linear_quantised(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                             float *y, size_t ldy, uint32_t g0, uint32_t g1,
                             const enum jm_pack_kind kind)
{
    if (n_rows <= FEW_ROWS) {
        linear_few(w, x, n_rows, y, ldy, g0, g1, kind);
        return;
    }
    for (uint32_t g = g0; g < g1; g++) {
        uint32_t r = 0;
        for (; r + 4 <= n_rows; r += 4)
            tile_quantised(w, x, r, y, ldy, g, 4, kind);
        for (; r < n_rows; r++)
            tile_quantised(w, x, r, y, ldy, g, 1, kind);
    }
}

#endif
