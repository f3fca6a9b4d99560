/* SPDX-License-Identifier: Apache-2.0 */
/* Linears over weights of F16 and F32. The inputs of many rows are laid side by side first: rows
 * that lie a power of two apart would share a few places in the caches, and a tile has one address
 * to count instead of six. Where a row is longer than what is laid out at a time, sums wait in y
 * meanwhile, which changes no bit of them. */
#ifndef JM_BACKENDS_CPU_AVX2_FLOAT_H
#define JM_BACKENDS_CPU_AVX2_FLOAT_H

#include "backends/cpu/avx2/lanes.h"
#include "backends/cpu/kernels.h"

enum {
    FLOAT_SLICE = JM_SLICE,        /* inputs laid out at a time */
    FLOAT_ROWS = JM_SLICE_SCRATCH, /* of so many rows: they fill jm_linear_scratch */
    FLOAT_TILE = 6,                /* rows of a tile, by two groups: twelve sums */
    FLOAT_AHEAD = 512,             /* bytes of each of eight groups that one row reads */
};

/* A slice of the inputs of some rows. */
struct float_slice {
    uint32_t from, to; /* inputs */
    uint32_t n_rows;
    const float *x; /* [n_rows / R][to - from][R], R rows of a tile as rows_of_tile says */
    float *y;       /* [n_rows, ldy] */
    size_t ldy;
};

/* Of so many rows that are left, those of the next tile. */
INLINE uint32_t rows_of_tile(uint32_t left)
{
    return left >= FLOAT_TILE ? FLOAT_TILE : left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

static inline void lay_side_by_side(const float *x, uint32_t cols, const struct float_slice *s,
                                    float *out)
{
    for (uint32_t r = 0, R; r < s->n_rows; r += R) {
        R = rows_of_tile(s->n_rows - r);
        for (size_t k = s->from; k < s->to; k++)
            for (uint32_t i = 0; i < R; i++)
                *out++ = x[(size_t)(r + i) * cols + k];
    }
}

INLINE __m256 float_weights(const uint8_t *p, const int half)
{
    return half ? _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p))
                : _mm256_loadu_ps((const float *)(const void *)p);
}

/* Weights that will be wanted: one row reads each only once, and asks for what comes later in its
 * groups; of several rows the first tile would wait, and all ask for the next groups. A line is
 * asked for when input k is the first that it holds. */
INLINE void ask_float(const struct jm_packed *w, const uint8_t *p, size_t k, const int R,
                      const int G, const size_t bytes)
{
    const size_t ahead = R == 1 ? FLOAT_AHEAD : (size_t)G * w->group_bytes;
    if (k * bytes % LINE != 0)
        return;
#pragma GCC unroll 8
    for (int j = 0; j < G; j++)
        _mm_prefetch((const char *)p + (size_t)j * w->group_bytes + k * bytes + ahead, _MM_HINT_T0);
}

/* R rows from r on by G groups from g on. */
INLINE void tile_float(const struct jm_packed *w, const struct float_slice *s, uint32_t r,
                       uint32_t g, const int R, const int G, const int half)
{
    const size_t each = half ? 2 : 4, left = w->t.rows - (size_t)g * LANES;
    const uint8_t *p = w->data + g * w->group_bytes + (size_t)s->from * LANES * each;
    const float *x = s->x + (size_t)r * (s->to - s->from);
    float *y = s->y + r * s->ldy + (size_t)g * LANES;
    __m256 acc[12];
#pragma GCC unroll 12
    for (int i = 0; i < R * G; i++)
        acc[i] = s->from ? load_some(y + (size_t)(i / G) * s->ldy + (size_t)(i % G) * LANES,
                                     left - (size_t)(i % G) * LANES)
                         : _mm256_setzero_ps();
#pragma GCC unroll 2
    for (size_t k = 0; k < s->to - s->from; k++) {
        __m256 v[8];
        ask_float(w, p, k, R, G, LANES * each);
#pragma GCC unroll 8
        for (int j = 0; j < G; j++)
            v[j] = float_weights(p + (size_t)j * w->group_bytes + k * LANES * each, half);
#pragma GCC unroll 6
        for (int i = 0; i < R; i++) {
            const __m256 b = _mm256_set1_ps(x[k * (size_t)R + (size_t)i]);
#pragma GCC unroll 8
            for (int j = 0; j < G; j++)
                acc[i * G + j] = _mm256_fmadd_ps(v[j], b, acc[i * G + j]);
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < R * G; i++)
        store(y + (size_t)(i / G) * s->ldy + (size_t)(i % G) * LANES, acc[i],
              left - (size_t)(i % G) * LANES);
}

/* All rows of a slice by G groups. */
INLINE void panel_float(const struct jm_packed *w, const struct float_slice *s, uint32_t g,
                        const int G, const int half)
{
    uint32_t r = 0;
    for (; r + FLOAT_TILE <= s->n_rows; r += FLOAT_TILE)
        tile_float(w, s, r, g, FLOAT_TILE, G, half);
    for (; r + 4 <= s->n_rows; r += 4)
        tile_float(w, s, r, g, 4, G, half);
    for (; r + 2 <= s->n_rows; r += 2)
        tile_float(w, s, r, g, 2, G, half);
    for (; r < s->n_rows; r++)
        tile_float(w, s, r, g, 1, G, half);
}

/* Fewer than four rows, one by one, want many groups at once, to have enough independent sums. */
INLINE void few_float(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows, float *y,
                      size_t ldy, uint32_t g, const int G, const int half)
{
    for (uint32_t r = 0; r < n_rows; r++) {
        const struct float_slice s = {
            .to = x->cols, .n_rows = 1, .x = x->f + (size_t)r * x->cols, .y = y + r * ldy
        };
        tile_float(w, &s, 0, g, 1, G, half);
    }
}

INLINE void rows_float(const struct jm_packed *w, const float *x, uint32_t cols,
                       struct float_slice s, uint32_t g0, uint32_t g1, float *scratch,
                       const int half)
{
    for (; s.from < cols; s.from = s.to) {
        uint32_t g = g0;
        s.to = cols - s.from < FLOAT_SLICE ? cols : s.from + FLOAT_SLICE;
        s.x = scratch;
        lay_side_by_side(x, cols, &s, scratch);
        for (; g + 2 <= g1; g += 2)
            panel_float(w, &s, g, 2, half);
        for (; g < g1; g++)
            panel_float(w, &s, g, 1, half);
    }
}

INLINE void linear_float(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                         float *y, size_t ldy, uint32_t g0, uint32_t g1, float *scratch,
                         const int half)
{
    const size_t cols = x->cols;
    uint32_t g = g0;
    if (n_rows < 4) {
        for (; g + 8 <= g1; g += 8)
            few_float(w, x, n_rows, y, ldy, g, 8, half);
        for (; g + 2 <= g1; g += 2)
            few_float(w, x, n_rows, y, ldy, g, 2, half);
        for (; g < g1; g++)
            few_float(w, x, n_rows, y, ldy, g, 1, half);
        return;
    }
    for (uint32_t r = 0; r < n_rows; r += FLOAT_ROWS) {
        const struct float_slice s = { .n_rows = n_rows - r < FLOAT_ROWS ? n_rows - r : FLOAT_ROWS,
                                       .y = y + r * ldy,
                                       .ldy = ldy };
        rows_float(w, x->f + r * cols, x->cols, s, g0, g1, scratch, half);
    }
}

#endif
