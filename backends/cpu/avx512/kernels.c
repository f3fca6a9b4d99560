/* SPDX-License-Identifier: Apache-2.0 */
/* AVX-512 (F, BW, VL, VNNI) kernels over weights interleaved by 16 (pack.h).
 *
 * A tile of R rows x G groups keeps R * G sums in registers; each weight vector is loaded and
 * widened once for all R rows. Every sum runs over k in the same order whatever the tile, so a row
 * gets the same result alone and among others. */
#include <float.h>
#include <immintrin.h>
#include <math.h>

#include "backends/cpu/kernels.h"

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 16, BLOCK = 32 };

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
#pragma GCC unroll 24
    for (int i = 0; i < R * G; i++)
        acc[i] = _mm512_setzero_ps();
    for (uint32_t k = 0; k < cols; k++) {
        __m512 wk[8];
#pragma GCC unroll 8
        for (int j = 0; j < G; j++) {
            const uint8_t *q = p + (size_t)j * w->group_bytes + k * LANES * each;
            wk[j] = half ? _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)q))
                         : _mm512_loadu_ps((const float *)(const void *)q);
        }
#pragma GCC unroll 12
        for (int r = 0; r < R; r++) {
            __m512 xk = _mm512_set1_ps(x[(size_t)r * cols + k]);
#pragma GCC unroll 8
            for (int j = 0; j < G; j++)
                acc[r * G + j] = _mm512_fmadd_ps(wk[j], xk, acc[r * G + j]);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 8
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

/* ---- quantised weights, int8 activations: u8 x s8 dot products of four ---- */

struct block {
    __m512i w[8]; /* [k / 4], each 16 outputs x 4 k, unsigned */
};

/* Q8 is made unsigned by adding 128; Q4 and Q2 are stored with 8 and 1 added. */
INLINE struct block load_block(const uint8_t *p, const enum jm_pack_kind kind)
{
    struct block b;
    if (kind == JM_PACK_Q8) {
        const __m512i top = _mm512_set1_epi8((char)0x80);
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++)
            b.w[j] = _mm512_xor_si512(_mm512_loadu_si512(p + 64 * j), top);
    } else if (kind == JM_PACK_Q4) {
        const __m512i low = _mm512_set1_epi8(15);
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            __m512i v = _mm512_loadu_si512(p + 64 * j);
            b.w[j] = _mm512_and_si512(v, low);
            b.w[j + 4] = _mm512_and_si512(_mm512_srli_epi16(v, 4), low);
        }
    } else {
        const __m512i low = _mm512_set1_epi8(3);
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) {
            __m512i v = _mm512_loadu_si512(p + 64 * j);
            b.w[j] = _mm512_and_si512(v, low);
            b.w[j + 2] = _mm512_and_si512(_mm512_srli_epi16(v, 2), low);
            b.w[j + 4] = _mm512_and_si512(_mm512_srli_epi16(v, 4), low);
            b.w[j + 6] = _mm512_and_si512(_mm512_srli_epi16(v, 6), low);
        }
    }
    return b;
}

/* sum_k (w + offset) q - offset * sum_k q, in two chains */
INLINE __m512i dot_block(const struct block *b, const int8_t *q, int32_t sum, const int offset)
{
    __m512i even = _mm512_set1_epi32(-offset * sum), odd = _mm512_setzero_si512();
#pragma GCC unroll 4
    for (int j = 0; j < 8; j += 2) {
        int32_t q0, q1;
        __builtin_memcpy(&q0, q + 4 * j, 4);
        __builtin_memcpy(&q1, q + 4 * j + 4, 4);
        even = _mm512_dpbusd_epi32(even, b->w[j], _mm512_set1_epi32(q0));
        odd = _mm512_dpbusd_epi32(odd, b->w[j + 1], _mm512_set1_epi32(q1));
    }
    return _mm512_add_epi32(even, odd);
}

INLINE void tile_quantised(const struct jm_packed *w, const struct jm_acts *x, uint32_t row,
                           float *y, size_t ldy, uint32_t g, const int R, const int G,
                           const enum jm_pack_kind kind)
{
    const int bits = kind == JM_PACK_Q8 ? 8 : kind == JM_PACK_Q4 ? 4 : 2;
    const int offset = kind == JM_PACK_Q8 ? 128 : kind == JM_PACK_Q4 ? 8 : 1;
    const size_t step = LANES * 2 + (size_t)(LANES * BLOCK * bits / 8);
    const uint32_t n = x->cols / BLOCK;
    __m512 acc[16];
#pragma GCC unroll 16
    for (int i = 0; i < R * G; i++)
        acc[i] = _mm512_setzero_ps();
    for (uint32_t b = 0; b < n; b++) {
#pragma GCC unroll 4
        for (int j = 0; j < G; j++) {
            const uint8_t *p = w->data + (g + (uint32_t)j) * w->group_bytes + b * step;
            const struct block wb = load_block(p + LANES * 2, kind);
            const __m512 d = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
#pragma GCC unroll 8
            for (int r = 0; r < R; r++) {
                size_t at = (size_t)(row + (uint32_t)r);
                __m512i s =
                    dot_block(&wb, x->q + at * x->cols + b * BLOCK, x->sum[at * n + b], offset);
                __m512 dx = _mm512_mul_ps(d, _mm512_set1_ps(x->d[at * n + b]));
                acc[r * G + j] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(s), dx, acc[r * G + j]);
            }
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
        for (int j = 0; j < G; j++) {
            uint32_t o = (g + (uint32_t)j) * LANES;
            store(y + (size_t)(row + (uint32_t)r) * ldy + o, acc[r * G + j], w->t.rows - o);
        }
    }
}

INLINE void linear_quantised(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                             float *y, size_t ldy, uint32_t g0, uint32_t g1,
                             const enum jm_pack_kind kind)
{
    uint32_t g = g0;
    if (n_rows < 4) {
        for (; g + 4 <= g1; g += 4) {
            for (uint32_t r = 0; r < n_rows; r++)
                tile_quantised(w, x, r, y, ldy, g, 1, 4, kind);
        }
    }
    for (; g < g1; g++) {
        uint32_t r = 0;
        for (; r + 8 <= n_rows; r += 8)
            tile_quantised(w, x, r, y, ldy, g, 8, 1, kind);
        for (; r + 4 <= n_rows; r += 4)
            tile_quantised(w, x, r, y, ldy, g, 4, 1, kind);
        for (; r < n_rows; r++)
            tile_quantised(w, x, r, y, ldy, g, 1, 1, kind);
    }
}

static void linear(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows, float *y,
                   size_t ldy, uint32_t g0, uint32_t g1, float *scratch)
{
    (void)scratch;
    switch (w->kind) {
    case JM_PACK_F16:
        linear_float(w, x, n_rows, y, ldy, g0, g1, 1);
        break;
    case JM_PACK_Q8:
        linear_quantised(w, x, n_rows, y, ldy, g0, g1, JM_PACK_Q8);
        break;
    case JM_PACK_Q4:
        linear_quantised(w, x, n_rows, y, ldy, g0, g1, JM_PACK_Q4);
        break;
    case JM_PACK_Q2:
        linear_quantised(w, x, n_rows, y, ldy, g0, g1, JM_PACK_Q2);
        break;
    default:
        linear_float(w, x, n_rows, y, ldy, g0, g1, 0);
        break;
    }
}

/* exp(x) for x <= 88: 2^n e^r, |r| <= ln 2 / 2, Taylor to r^7: relative error under 2e-7. Below
 * -87 the result is 0. NaN stays NaN. */
INLINE __m512 exp_ps(__m512 x)
{
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 0);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
    __m512 p = _mm512_set1_ps(1.0f / 5040);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 720));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 120));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 24));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 6));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    __mmask16 tiny = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-87.0f), _CMP_LT_OQ);
    return _mm512_mask_mov_ps(_mm512_scalef_ps(p, n), tiny, _mm512_setzero_ps());
}

INLINE __mmask16 first(size_t left)
{
    return (__mmask16)(left >= LANES ? 0xffffu : (1u << left) - 1u);
}

static void swiglu(const float *gate, const float *up, float *out, size_t n)
{
    const __m512 one = _mm512_set1_ps(1.0f), limit = _mm512_set1_ps(88.0f);
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 m = first(n - i);
        __m512 g = _mm512_maskz_loadu_ps(m, gate + i), u = _mm512_maskz_loadu_ps(m, up + i);
        __m512 neg = _mm512_sub_ps(_mm512_setzero_ps(), g);
        __mmask16 huge = _mm512_cmp_ps_mask(neg, limit, _CMP_GT_OQ); /* exp would overflow */
        __m512 e = _mm512_mask_mov_ps(exp_ps(neg), huge, _mm512_set1_ps(INFINITY));
        _mm512_mask_storeu_ps(out + i, m,
                              _mm512_mul_ps(_mm512_div_ps(g, _mm512_add_ps(one, e)), u));
    }
}

/* out [dim] = sum_p scores[p] * v[p], 64 columns at a time so that four sums run side by side */
INLINE void weigh_values(const float *v, size_t stride, uint32_t dim, uint32_t n,
                         const float *scores, __m512 inverse, float *out)
{
    for (uint32_t at = 0; at < dim; at += 4 * LANES) {
        __mmask16 m[4];
        __m512 s[4];
#pragma GCC unroll 4
        for (uint32_t j = 0; j < 4; j++) {
            uint32_t c = at + j * LANES;
            m[j] = c < dim ? first(dim - c) : 0;
            s[j] = _mm512_setzero_ps();
        }
        for (uint32_t p = 0; p < n; p++) {
            const __m512 e = _mm512_set1_ps(scores[p]);
            const float *row = v + p * stride + at;
#pragma GCC unroll 4
            for (uint32_t j = 0; j < 4; j++)
                s[j] = _mm512_fmadd_ps(e, _mm512_maskz_loadu_ps(m[j], row + j * LANES), s[j]);
        }
#pragma GCC unroll 4
        for (uint32_t j = 0; j < 4; j++)
            _mm512_mask_storeu_ps(out + at + j * LANES, m[j], _mm512_mul_ps(s[j], inverse));
    }
}

static void attend(const float *q, const float *k, const float *v, size_t stride, uint32_t dim,
                   uint32_t n, float scale, float *scores, float *out)
{
    float largest = -INFINITY;
    for (uint32_t p = 0; p < n; p++) {
        __m512 s = _mm512_setzero_ps();
        for (uint32_t i = 0; i < dim; i += LANES) {
            __mmask16 m = first(dim - i);
            s = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(m, q + i),
                                _mm512_maskz_loadu_ps(m, k + p * stride + i), s);
        }
        scores[p] = _mm512_reduce_add_ps(s) * scale;
        largest = scores[p] > largest ? scores[p] : largest; /* a NaN stays in scores */
    }
    __m512 total = _mm512_setzero_ps();
    for (uint32_t p = 0; p < n; p += LANES) {
        __mmask16 m = first(n - p);
        __m512 e =
            exp_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(m, scores + p), _mm512_set1_ps(largest)));
        total = _mm512_mask_add_ps(total, m, total, e);
        _mm512_mask_storeu_ps(scores + p, m, e);
    }
    weigh_values(v, stride, dim, n, scores, _mm512_set1_ps(1.0f / _mm512_reduce_add_ps(total)),
                 out);
}

static void quantise(const float *x, uint32_t cols, int8_t *q, float *d, int32_t *sum)
{
    for (uint32_t b = 0; b < cols / BLOCK; b++, x += BLOCK, q += BLOCK) {
        __m512 x0 = _mm512_loadu_ps(x), x1 = _mm512_loadu_ps(x + LANES);
        __m512 a0 = _mm512_abs_ps(x0), a1 = _mm512_abs_ps(x1), top = _mm512_set1_ps(FLT_MAX);
        int sane = _mm512_cmp_ps_mask(a0, top, _CMP_NLE_UQ) == 0 &&
                   _mm512_cmp_ps_mask(a1, top, _CMP_NLE_UQ) == 0;
        float largest = _mm512_reduce_max_ps(_mm512_max_ps(a0, a1));
        __m512 inverse = _mm512_set1_ps(largest > 1e-30f && sane ? 127.0f / largest : 0.0f);
        __mmask16 keep = sane ? 0xffff : 0;
        __m512i i0 = _mm512_maskz_cvtps_epi32(keep, _mm512_mul_ps(x0, inverse));
        __m512i i1 = _mm512_maskz_cvtps_epi32(keep, _mm512_mul_ps(x1, inverse));
        _mm_storeu_si128((__m128i *)(void *)q, _mm512_cvtepi32_epi8(i0));
        _mm_storeu_si128((__m128i *)(void *)(q + LANES), _mm512_cvtepi32_epi8(i1));
        d[b] = sane ? largest / 127.0f : NAN;
        sum[b] = _mm512_reduce_add_epi32(_mm512_add_epi32(i0, i1));
    }
}

const struct jm_cpu_kernels jm_cpu_avx512 = {
    .isa = "avx512",
    .group = LANES,
    .linear = linear,
    .attend = attend,
    .swiglu = swiglu,
    .quantise = quantise,
};
