/* SPDX-License-Identifier: Apache-2.0 */
/* AVX-512 (F, BW, VL, VNNI) kernels over weights interleaved by 16 (pack.h).
 *
 * A tile of R rows x G groups keeps R * G sums in registers; each weight vector is loaded and
 * widened once for all R rows. Every sum runs over k in the same order whatever the tile, so a row
 * gets the same result alone and among others. */
#include <immintrin.h>
#include <math.h>

#include "backends/cpu/avx512/lanes.h"
#include "backends/cpu/avx512/panel.h"
#include "backends/cpu/avx512/rows.h"
#include "backends/cpu/kernels.h"

INLINE void store(float *y, __m512 v, uint32_t left)
{
    if (left >= LANES)
        _mm512_storeu_ps(y, v);
    else
        _mm512_mask_storeu_ps(y, (__mmask16)((1u << left) - 1u), v);
}

/* ---- F32 and F16 weights, f32 activations ---- */

INLINE void tile_float(const struct jm_packed *w, const float *x, uint32_t cols, float *y,
                       size_t ldy, uint32_t g, const int R, const int G, const int half)
{
    const size_t each = half ? 2 : 4;
    const uint8_t *p = w->data + g * w->group_bytes;
    __m512 acc[24];
    UNROLL(24)
    for (int i = 0; i < R * G; i++)
        acc[i] = _mm512_setzero_ps();
    for (uint32_t k = 0; k < cols; k++) {
        __m512 wk[8];
        UNROLL(8)
        for (int j = 0; j < G; j++) {
            const uint8_t *q = p + (size_t)j * w->group_bytes + k * LANES * each;
            wk[j] = half ? _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)q))
                         : _mm512_loadu_ps((const float *)(const void *)q);
        }
        UNROLL(12)
        for (int r = 0; r < R; r++) {
            __m512 xk = _mm512_set1_ps(x[(size_t)r * cols + k]);
            UNROLL(8)
            for (int j = 0; j < G; j++)
                acc[r * G + j] = _mm512_fmadd_ps(wk[j], xk, acc[r * G + j]);
        }
    }
    UNROLL(12)
    for (int r = 0; r < R; r++) {
        UNROLL(8)
        for (int j = 0; j < G; j++) {
            uint32_t o = (g + (uint32_t)j) * LANES;
            store(y + (size_t)r * ldy + o, acc[r * G + j], w->t.rows - o);
        }
    }
}

INLINE void rows_float(const struct jm_packed *w, const float *x, uint32_t cols, uint32_t n_rows,
                       float *y, size_t ldy, uint32_t g, const int G, const int half)
{
    uint32_t r = 0;
    for (; r + 12 <= n_rows; r += 12)
        tile_float(w, x + (size_t)r * cols, cols, y + r * ldy, ldy, g, 12, G, half);
    for (; r + 4 <= n_rows; r += 4)
        tile_float(w, x + (size_t)r * cols, cols, y + r * ldy, ldy, g, 4, G, half);
    for (; r < n_rows; r++)
        tile_float(w, x + (size_t)r * cols, cols, y + r * ldy, ldy, g, 1, G, half);
}

/* One row wants many groups at once, to have enough independent sums; many rows have them. */
INLINE void linear_float(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                         float *y, size_t ldy, uint32_t g0, uint32_t g1, const int half)
{
    uint32_t g = g0;
    if (n_rows < 4) {
        for (; g + 8 <= g1; g += 8) {
            for (uint32_t r = 0; r < n_rows; r++)
                tile_float(w, x->f + (size_t)r * x->cols, x->cols, y + r * ldy, ldy, g, 1, 8, half);
        }
    }
    for (; g + 2 <= g1; g += 2)
        rows_float(w, x->f, x->cols, n_rows, y, ldy, g, 2, half);
    for (; g < g1; g++)
        rows_float(w, x->f, x->cols, n_rows, y, ldy, g, 1, half);
}

/* ---- integer weights: dot products of four u8 by s8, or of two s16 by s16 ---- */

/* How the levels of a block lie: V vectors, each holding S runs of inputs, see pack.h. */
INLINE int vectors_of(const enum jm_pack_kind kind)
{
    return kind == JM_PACK_I16 ? 16 : kind == JM_PACK_Q8 ? 8 : kind == JM_PACK_Q4 ? 4 : 2;
}

INLINE int runs_of(const enum jm_pack_kind kind)
{
    return kind == JM_PACK_Q4 ? 2 : kind == JM_PACK_Q2 ? 4 : 1;
}

INLINE __m512 scales_of(const uint8_t *p, const enum jm_pack_kind kind)
{
    return kind == JM_PACK_I16 ? exponents_to_ps(p) : halves_to_ps(p);
}

/* Levels are unsigned: sum_k (w + offset) q - offset * sum_k q. Q8 128, Q4 8, Q2 1. */
INLINE __m512i start_of(const int32_t *sum, const enum jm_pack_kind kind)
{
    const unsigned shift = kind == JM_PACK_Q8 ? 7 : kind == JM_PACK_Q4 ? 3 : 0;
    if (kind == JM_PACK_I16)
        return _mm512_setzero_si512();
    return _mm512_sub_epi32(_mm512_set1_epi32(SUM_ZERO),
                            _mm512_slli_epi32(_mm512_set1_epi32(*sum), shift));
}

/* acc[r * G + j] += one block of 32 inputs for R rows and G groups. p: the block's levels in the
 * first group; x: the rows' integers of this block, ldx bytes apart. */
INLINE void dot_block(__m512i *acc, const uint8_t *p, size_t group_bytes, const uint8_t *x,
                      size_t ldx, const int R, const int G, const enum jm_pack_kind kind)
{
    const int V = vectors_of(kind), S = runs_of(kind);
    UNROLL(16)
    for (int i = 0; i < V; i++) {
        __m512i v[8];
        UNROLL(8)
        for (int j = 0; j < G; j++)
            v[j] = _mm512_loadu_si512(p + (size_t)j * group_bytes + 64 * i);
        UNROLL(4)
        for (int s = 0; s < S; s++) {
            __m512i w[8];
            UNROLL(8)
            for (int j = 0; j < G; j++)
                w[j] = run_of(v[j], s, kind);
            UNROLL(8)
            for (int r = 0; r < R; r++) {
                int32_t word;
                __builtin_memcpy(&word, x + (size_t)r * ldx + 4 * (i + V * s), 4);
                const __m512i xk = _mm512_set1_epi32(word);
                UNROLL(8)
                for (int j = 0; j < G; j++)
                    acc[r * G + j] = kind == JM_PACK_I16
                                         ? _mm512_dpwssd_epi32(acc[r * G + j], w[j], xk)
                                         : _mm512_dpbusd_epi32(acc[r * G + j], w[j], xk);
            }
        }
    }
}

/* One row alone reads eight groups side by side: what comes later in each is asked for, as far
 * ahead as 4 KB of all, since processors do not look beyond a page by themselves. p: a block of the
 * first group. */
INLINE void ask_groups(const uint8_t *p, size_t group_bytes, const int G,
                       const enum jm_pack_kind kind)
{
    enum { AHEAD = 512 };
    UNROLL(8)
    for (int j = 0; j < G; j++) {
        UNROLL(16)
        for (int i = 0; i < vectors_of(kind); i++)
            _mm_prefetch((const char *)p + (size_t)j * group_bytes + AHEAD + 64 * i, _MM_HINT_T0);
    }
}

INLINE void tile_int(const struct jm_packed *w, const struct jm_acts *x, uint32_t row, float *y,
                     size_t ldy, uint32_t g, const int R, const int G, const enum jm_pack_kind kind,
                     struct ahead *ahead)
{
    const int wide = kind == JM_PACK_I16;
    const uint32_t n = x->cols / BLOCK;
    const size_t ldx = (size_t)x->cols * (wide ? 2 : 1);
    const uint8_t *p = w->data + g * w->group_bytes;
    const uint8_t *q = (wide ? (const uint8_t *)x->q16 : (const uint8_t *)x->q) + row * ldx;
    const float *dx = (wide ? x->d16 : x->d) + (size_t)row * n;
    __m512 sum[8];
    UNROLL(8)
    for (int i = 0; i < R * G; i++)
        sum[i] = _mm512_setzero_ps();
    for (uint32_t b = 0; b < n; b++) {
        __m512i acc[8];
        UNROLL(8)
        for (int i = 0; i < R * G; i++)
            acc[i] =
                start_of(wide ? NULL : x->sum + (size_t)(row + (uint32_t)(i / G)) * n + b, kind);
        const uint8_t *levels = p + (size_t)b * 64 * (size_t)vectors_of(kind);
        if (ahead)
            ask(ahead);
        else
            ask_groups(levels, w->group_bytes, G, kind);
        dot_block(acc, levels, w->group_bytes, q + (size_t)b * (wide ? 64 : 32), ldx, R, G, kind);
        __m512 dw[8];
        UNROLL(8)
        for (int j = 0; j < G; j++)
            dw[j] = scales_of(p + (size_t)j * w->group_bytes + w->scales +
                                  (size_t)b * (wide ? LANES : 2 * LANES),
                              kind);
        UNROLL(8)
        for (int i = 0; i < R * G; i++) {
            const __m512 d = _mm512_set1_ps(dx[(size_t)(i / G) * n + b]);
            sum[i] = wide ? add_wide(sum[i], acc[i], dw[i % G], d)
                          : add_sum(sum[i], acc[i], dw[i % G], d);
        }
    }
    UNROLL(8)
    for (int i = 0; i < R * G; i++) {
        uint32_t o = (g + (uint32_t)(i % G)) * LANES;
        store(y + (size_t)(row + (uint32_t)(i / G)) * ldy + o, sum[i], w->t.rows - o);
    }
}

/* Eight independent sums keep the multipliers busy: of one row and eight groups, or of four rows
 * and two groups, where each load serves several products. */
INLINE void rows_int(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows, float *y,
                     size_t ldy, uint32_t g, const int G, const enum jm_pack_kind kind)
{
    uint32_t r = 0, tiles = n_rows / 4 + n_rows % 4 / 2 + n_rows % 2;
    const uint8_t *next = w->data + (g + (uint32_t)G) * w->group_bytes;
    struct ahead a = { .p = next, .end = next, .twin = (size_t)(G - 1) * w->group_bytes };
    if (g + 2 * (uint32_t)G <= w->n_groups)
        a.end += w->group_bytes;
    a.bytes = w->group_bytes / (tiles * (x->cols / BLOCK));
    for (; r + 4 <= n_rows; r += 4)
        tile_int(w, x, r, y, ldy, g, 4, G, kind, &a);
    for (; r + 2 <= n_rows; r += 2)
        tile_int(w, x, r, y, ldy, g, 2, G, kind, &a);
    for (; r < n_rows; r++)
        tile_int(w, x, r, y, ldy, g, 1, G, kind, &a);
}

INLINE void linear_int(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                       float *y, size_t ldy, uint32_t g0, uint32_t g1, const enum jm_pack_kind kind)
{
    uint32_t g = g0;
    if (n_rows == 1) {
        for (; g + 8 <= g1; g += 8)
            tile_int(w, x, 0, y, ldy, g, 1, 8, kind, NULL);
    }
    for (; g + 2 <= g1; g += 2)
        rows_int(w, x, n_rows, y, ldy, g, 2, kind);
    for (; g < g1; g++)
        rows_int(w, x, n_rows, y, ldy, g, 1, kind);
}

/* ---- k-quants: 256 inputs have one scale, and groups of 32 or 16 a small integer each ---- */

INLINE void store_tile(const struct jm_packed *w, const __m512 *sum, uint32_t row, float *y,
                       size_t ldy, uint32_t g, const int R, const int G)
{
    UNROLL(12)
    for (int i = 0; i < R * G; i++) {
        uint32_t o = (g + (uint32_t)(i % G)) * LANES;
        store(y + (size_t)(row + (uint32_t)(i / G)) * ldy + o, sum[i], w->t.rows - o);
    }
}

/* w = d scale q - dmin offset: sum += dx (d scale (q . x)) - dmin offset (dx sum of x) */
INLINE void tile_q4k(const struct jm_packed *w, const struct jm_acts *x, uint32_t row, float *y,
                     size_t ldy, uint32_t g, const int R, const int G)
{
    const uint32_t n = x->cols / BLOCK;
    const uint8_t *p = w->data + g * w->group_bytes;
    const int8_t *q = x->q + (size_t)row * x->cols;
    const float *dx = x->d + (size_t)row * n, *dsum = x->dsum + (size_t)row * n;
    __m512 sum[12];
    UNROLL(12)
    for (int i = 0; i < R * G; i++)
        sum[i] = _mm512_setzero_ps();
    for (uint32_t b = 0; b < n; b++) {
        __m512i acc[12];
        __m512 scale[4], offset[4];
        UNROLL(12)
        for (int i = 0; i < R * G; i++)
            acc[i] = _mm512_set1_epi32(SUM_ZERO);
        dot_block(acc, p + (size_t)b * 256, w->group_bytes, (const uint8_t *)q + b * BLOCK, x->cols,
                  R, G, JM_PACK_Q4);
        UNROLL(4)
        for (int j = 0; j < G; j++) {
            const uint8_t *s = p + (size_t)j * w->group_bytes + w->scales + b / 8 * 20 * LANES;
            scale[j] = _mm512_mul_ps(halves_to_ps(s), bytes_to_ps(s + (4 + b % 8) * LANES));
            offset[j] =
                _mm512_mul_ps(halves_to_ps(s + 2 * LANES), bytes_to_ps(s + (12 + b % 8) * LANES));
        }
        UNROLL(12)
        for (int i = 0; i < R * G; i++) {
            const size_t at = (size_t)(i / G) * n + b;
            sum[i] = add_sum(sum[i], acc[i], scale[i % G], _mm512_set1_ps(dx[at]));
            sum[i] = _mm512_fnmadd_ps(offset[i % G], _mm512_set1_ps(dsum[at]), sum[i]);
        }
    }
    store_tile(w, sum, row, y, ldy, g, R, G);
}

/* acc[r * G + j] = SUM_ZERO + half a block of Q6K, which has its own scale: the sum of (q - 32) x.
 */
INLINE void dot_q6k(__m512i *acc, const uint8_t *p, size_t group_bytes, const struct jm_acts *x,
                    uint32_t row, uint32_t b, const int half, const int R, const int G)
{
    const size_t n = 2 * (size_t)x->cols / BLOCK;
    const int8_t *q = x->q + (size_t)row * x->cols + b * BLOCK;
    const int32_t *sum16 = x->sum16 + row * n + 2 * b + (size_t)half;
    UNROLL(12)
    for (int i = 0; i < R * G; i++)
        acc[i] =
            _mm512_sub_epi32(_mm512_set1_epi32(SUM_ZERO),
                             _mm512_slli_epi32(_mm512_set1_epi32(sum16[(size_t)(i / G) * n]), 5));
    UNROLL(4)
    for (int i = 4 * half; i < 4 * half + 4; i++) {
        __m512i v[4];
        UNROLL(4)
        for (int j = 0; j < G; j++)
            v[j] = six_bits(p + (size_t)j * group_bytes + (size_t)b * 384, i);
        UNROLL(6)
        for (int r = 0; r < R; r++) {
            int32_t word;
            __builtin_memcpy(&word, q + (size_t)r * x->cols + 4 * i, 4);
            UNROLL(4)
            for (int j = 0; j < G; j++)
                acc[r * G + j] = _mm512_dpbusd_epi32(acc[r * G + j], v[j], _mm512_set1_epi32(word));
        }
    }
}

/* w = d scale (q - 32), with a scale for each 16 inputs */
INLINE void tile_q6k(const struct jm_packed *w, const struct jm_acts *x, uint32_t row, float *y,
                     size_t ldy, uint32_t g, const int R, const int G)
{
    const uint32_t n = x->cols / BLOCK;
    const uint8_t *p = w->data + g * w->group_bytes;
    const float *dx = x->d + (size_t)row * n;
    __m512 sum[12];
    UNROLL(12)
    for (int i = 0; i < R * G; i++)
        sum[i] = _mm512_setzero_ps();
    for (uint32_t b = 0; b < n; b++) {
        UNROLL(2)
        for (int half = 0; half < 2; half++) {
            __m512i acc[12];
            __m512 scale[4];
            dot_q6k(acc, p, w->group_bytes, x, row, b, half, R, G);
            UNROLL(4)
            for (int j = 0; j < G; j++) {
                const uint8_t *s = p + (size_t)j * w->group_bytes + w->scales + b / 8 * 18 * LANES;
                scale[j] = _mm512_mul_ps(
                    halves_to_ps(s), sbytes_to_ps(s + (2 + b % 8 * 2 + (uint32_t)half) * LANES));
            }
            UNROLL(12)
            for (int i = 0; i < R * G; i++)
                sum[i] = add_sum(sum[i], acc[i], scale[i % G],
                                 _mm512_set1_ps(dx[(size_t)(i / G) * n + b]));
        }
    }
    store_tile(w, sum, row, y, ldy, g, R, G);
}

INLINE void tile_k(const struct jm_packed *w, const struct jm_acts *x, uint32_t row, float *y,
                   size_t ldy, uint32_t g, const int R, const int G, const enum jm_pack_kind kind)
{
    if (kind == JM_PACK_Q4K)
        tile_q4k(w, x, row, y, ldy, g, R, G);
    else
        tile_q6k(w, x, row, y, ldy, g, R, G);
}

/* Six rows and two groups use each load and each widened scale most; twelve sums still fit. */
INLINE void rows_k(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows, float *y,
                   size_t ldy, uint32_t g, const int G, const enum jm_pack_kind kind)
{
    uint32_t r = 0;
    for (; r + 6 <= n_rows; r += 6)
        tile_k(w, x, r, y, ldy, g, 6, G, kind);
    for (; r + 4 <= n_rows; r += 4)
        tile_k(w, x, r, y, ldy, g, 4, G, kind);
    for (; r < n_rows; r++)
        tile_k(w, x, r, y, ldy, g, 1, G, kind);
}

INLINE void linear_k(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows, float *y,
                     size_t ldy, uint32_t g0, uint32_t g1, const enum jm_pack_kind kind)
{
    uint32_t g = g0;
    if (n_rows == 1) {
        jm_avx512_linear_row(w, x, y, g0, g1);
        return;
    }
    for (; g + 2 <= g1; g += 2)
        rows_k(w, x, n_rows, y, ldy, g, 2, kind);
    for (; g < g1; g++)
        rows_k(w, x, n_rows, y, ldy, g, 1, kind);
}

static void linear(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows, float *y,
                   size_t ldy, uint32_t g0, uint32_t g1, float *scratch)
{
    g0 = jm_avx512_panels(w, x, n_rows, y, ldy, g0, g1, scratch, NULL);
    switch (w->kind) {
    case JM_PACK_F16:
        linear_float(w, x, n_rows, y, ldy, g0, g1, 1);
        break;
    case JM_PACK_I16:
        linear_int(w, x, n_rows, y, ldy, g0, g1, JM_PACK_I16);
        break;
    case JM_PACK_Q8:
        linear_int(w, x, n_rows, y, ldy, g0, g1, JM_PACK_Q8);
        break;
    case JM_PACK_Q4:
        linear_int(w, x, n_rows, y, ldy, g0, g1, JM_PACK_Q4);
        break;
    case JM_PACK_Q2:
        linear_int(w, x, n_rows, y, ldy, g0, g1, JM_PACK_Q2);
        break;
    case JM_PACK_Q4K:
        linear_k(w, x, n_rows, y, ldy, g0, g1, JM_PACK_Q4K);
        break;
    case JM_PACK_Q6K:
        linear_k(w, x, n_rows, y, ldy, g0, g1, JM_PACK_Q6K);
        break;
    default:
        linear_float(w, x, n_rows, y, ldy, g0, g1, 0);
        break;
    }
}

/* 16 keys or values, from number `at` of a cache of f32 or f16 on; those not in m are zero. */
INLINE __m512 load_kv(const void *cache, size_t at, __mmask16 m, const int half)
{
    if (half)
        return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(m, (const uint16_t *)cache + at));
    return _mm512_maskz_loadu_ps(m, (const float *)cache + at);
}

/* scores [H, ld]: scale * q.K of 16 positions at a time, the largest of each head in top. Keys of
 * positions beyond n are whatever lies there; they are masked. */
INLINE void score_keys(const float *q, const void *k, uint32_t dim, uint32_t n, float scale,
                       float *scores, size_t ld, float *top, const int H, const int half)
{
    const size_t each = half ? 2 : 4;
    __m512 largest[4];
    UNROLL(4)
    for (int h = 0; h < H; h++)
        largest[h] = _mm512_set1_ps(-INFINITY);
    for (uint32_t p = 0; p < n; p += LANES) {
        const size_t at = (size_t)p * dim;
        __m512 even[4], odd[4];
        UNROLL(4)
        for (int h = 0; h < H; h++)
            even[h] = odd[h] = _mm512_setzero_ps();
        uint32_t i = 0;
        for (; i + 2 <= dim; i += 2) {
            ask_kv((const char *)k + (at + i * LANES) * each + KEYS_AHEAD, 2 * LANES * each);
            const __m512 k0 = load_kv(k, at + i * LANES, 0xffff, half),
                         k1 = load_kv(k, at + (i + 1) * LANES, 0xffff, half);
            UNROLL(4)
            for (int h = 0; h < H; h++) {
                const float *qh = q + (size_t)h * dim + i;
                even[h] = _mm512_fmadd_ps(k0, _mm512_set1_ps(qh[0]), even[h]);
                odd[h] = _mm512_fmadd_ps(k1, _mm512_set1_ps(qh[1]), odd[h]);
            }
        }
        const __mmask16 m = lanes_of(n - p);
        UNROLL(4)
        for (int h = 0; h < H; h++) {
            if (i < dim)
                even[h] = _mm512_fmadd_ps(load_kv(k, at + i * LANES, 0xffff, half),
                                          _mm512_set1_ps(q[(size_t)h * dim + i]), even[h]);
            __m512 s = _mm512_mul_ps(_mm512_add_ps(even[h], odd[h]), _mm512_set1_ps(scale));
            largest[h] = _mm512_mask_max_ps(largest[h], m, s, largest[h]); /* NaN stays in s */
            _mm512_storeu_ps(scores + (size_t)h * ld + p, s);
        }
    }
    UNROLL(4)
    for (int h = 0; h < H; h++)
        top[h] = _mm512_reduce_max_ps(largest[h]);
}

float jm_avx512_soften(float *scores, uint32_t n, float top)
{
    __m512 total = _mm512_setzero_ps();
    for (uint32_t p = 0; p < n; p += LANES) {
        __mmask16 m = lanes_of(n - p);
        __m512 e = exp_ps(_mm512_sub_ps(_mm512_loadu_ps(scores + p), _mm512_set1_ps(top)));
        total = _mm512_mask_add_ps(total, m, total, e);
        _mm512_storeu_ps(scores + p, e);
    }
    return 1.0f / _mm512_reduce_add_ps(total);
}

/* out [H, dim] += scores[p] * v[p] of positions from..to, 64 columns from `at` on, so that four
 * sums a head run side by side; from 0 on they begin at 0. n: how many positions there are. */
INLINE void weigh_part(const void *v, uint32_t dim, uint32_t n, uint32_t from, uint32_t to,
                       uint32_t at, const float *scores, size_t ld, float *out, const int H,
                       const int half)
{
    const size_t each = half ? 2 : 4;
    __mmask16 m[4];
    __m512 s[16];
    UNROLL(4)
    for (uint32_t j = 0; j < 4; j++)
        m[j] = at + j * LANES < dim ? lanes_of(dim - at - j * LANES) : 0;
    UNROLL(16)
    for (int i = 0; i < 4 * H; i++)
        s[i] = _mm512_maskz_loadu_ps(from > 0 ? m[i % 4] : 0,
                                     out + (size_t)(i / 4) * dim + at + (uint32_t)(i % 4) * LANES);
    for (uint32_t p = from; p < to; p++) {
        const size_t row = (size_t)p * dim + at;
        __m512 x[4];
        if (at == 0 && p + VALUE_ROWS < n)
            ask_kv((const char *)v + (row + (size_t)VALUE_ROWS * dim) * each, dim * each);
        UNROLL(4)
        for (int j = 0; j < 4; j++)
            x[j] = load_kv(v, row + (size_t)j * LANES, m[j], half);
        UNROLL(4)
        for (int h = 0; h < H; h++) {
            const __m512 e = _mm512_set1_ps(scores[(size_t)h * ld + p]);
            UNROLL(4)
            for (int j = 0; j < 4; j++)
                s[h * 4 + j] = _mm512_fmadd_ps(e, x[j], s[h * 4 + j]);
        }
    }
    UNROLL(16)
    for (int i = 0; i < 4 * H; i++)
        _mm512_mask_storeu_ps(out + (size_t)(i / 4) * dim + at + (uint32_t)(i % 4) * LANES,
                              m[i % 4], s[i]);
}

/* out [H, dim] = sum_p scores[p] * v[p] * inverse */
INLINE void weigh_values(const void *v, uint32_t dim, uint32_t n, const float *scores, size_t ld,
                         const float *inverse, float *out, const int H, const int half)
{
    for (uint32_t from = 0; from < n; from += VALUE_ROWS) {
        const uint32_t to = n - from < VALUE_ROWS ? n : from + VALUE_ROWS;
        for (uint32_t at = 0; at < dim; at += 4 * LANES)
            weigh_part(v, dim, n, from, to, at, scores, ld, out, H, half);
    }
    for (int h = 0; h < H; h++)
        for (uint32_t i = 0; i < dim; i++)
            out[(size_t)h * dim + i] *= inverse[h];
}

INLINE void attend_heads(const float *q, const void *k, const void *v, uint32_t dim, uint32_t n,
                         float scale, float *scores, float *out, const int H, const int half)
{
    const size_t ld = (n + LANES - 1) & ~(size_t)(LANES - 1);
    float top[4], inverse[4];
    score_keys(q, k, dim, n, scale, scores, ld, top, H, half);
    UNROLL(4)
    for (int h = 0; h < H; h++)
        inverse[h] = jm_avx512_soften(scores + (size_t)h * ld, n, top[h]);
    weigh_values(v, dim, n, scores, ld, inverse, out, H, half);
}

INLINE void attend_all(const float *q, uint32_t n_heads, const void *k, const void *v, uint32_t dim,
                       uint32_t n, float scale, float *scores, float *out, const int half)
{
    uint32_t h = 0;
    for (; h + 4 <= n_heads; h += 4, q += 4 * dim, out += 4 * dim)
        attend_heads(q, k, v, dim, n, scale, scores, out, 4, half);
    for (; h + 2 <= n_heads; h += 2, q += 2 * dim, out += 2 * dim)
        attend_heads(q, k, v, dim, n, scale, scores, out, 2, half);
    for (; h < n_heads; h++, q += dim, out += dim)
        attend_heads(q, k, v, dim, n, scale, scores, out, 1, half);
}

static void attend(const float *q, uint32_t n_heads, const float *k, const float *v, uint32_t dim,
                   uint32_t n, float scale, float *scores, float *out)
{
    if (n_heads > JM_ATTEND_HEADS)
        jm_avx512_attend_many(q, n_heads, k, v, dim, n, scale, out);
    else
        attend_all(q, n_heads, k, v, dim, n, scale, scores, out, 0);
}

static void attend16(const float *q, uint32_t n_heads, const uint16_t *k, const uint16_t *v,
                     uint32_t dim, uint32_t n, float scale, float *scores, float *out)
{
    attend_all(q, n_heads, k, v, dim, n, scale, scores, out, 1);
}

static void add(const float *a, const float *b, float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

static void from_half(const uint16_t *x, float *y, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += LANES) {
        const __mmask16 m = lanes_of(n - i);
        _mm512_mask_storeu_ps(y + i, m, load_kv(x, i, m, 1));
    }
}

static void to_half(const float *x, uint16_t *y, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += LANES) {
        const __mmask16 m = lanes_of(n - i);
        const __m512 v = _mm512_maskz_loadu_ps(m, x + i);
        _mm256_mask_storeu_epi16(y + i, m, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
    }
}

static void linear_vbmi(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                        float *y, size_t ldy, uint32_t g0, uint32_t g1, float *scratch)
{
    if (w->kind == JM_PACK_STQ)
        jm_avx512_linear_stq(w, x, n_rows, y, ldy, g0, g1, scratch);
    else
        linear(w, x, n_rows, y, ldy, g0, g1, scratch);
}

/* What both sets have. */
#define SET                                                                                        \
    .attend = attend, .attend16 = attend16, .attend8 = jm_avx512_attend8, .to_half = to_half,      \
    .from_half = from_half, .add = add, .swiglu = jm_avx512_swiglu, .gelu = jm_avx512_gelu,        \
    .rms_norm = jm_avx512_rms_norm, .rope = jm_avx512_rope, .argmax = jm_avx512_argmax,            \
    .quantise = jm_avx512_quantise, .quantise16 = jm_avx512_quantise16,                            \
    .norm_round = jm_avx512_norm_round, .swiglu_round = jm_avx512_swiglu_round

const struct jm_cpu_kernels jm_cpu_avx512 = {
    .isa = "avx512",
    .k_block = LANES,
    .pack = { .group = LANES, .f16 = JM_PACK_I16 },
    .linear = linear,
    SET,
};

const struct jm_cpu_kernels jm_cpu_avx512_vbmi = {
    .isa = "avx512-vbmi",
    .k_block = LANES,
    .pack = { .group = LANES, .f16 = JM_PACK_I16, .stq = JM_PACK_STQ },
    .linear = linear_vbmi,
    SET,
};
