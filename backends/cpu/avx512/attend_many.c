/* SPDX-License-Identifier: Apache-2.0 */
/* Attention of many queries over the same keys and values, with AVX-512: a picture's rows all see
 * the same. Positions are taken in blocks whose keys and values stay in the caches while every
 * query takes its part of them, and the softmax goes on from block to block: when a larger score
 * comes, what is summed so far shrinks by e^(old largest - new largest) (Milakov and Gimelshein
 * 2018, arXiv:1805.02867). The order of a query's sums does not depend on the queries beside it. */
#include <immintrin.h>
#include <math.h>

#include "backends/cpu/avx512/lanes.h"
#include "backends/cpu/kernels.h"

enum {
    KEYS = 128,   /* positions in a block: 128 KB of keys and values of 128 */
    QUERIES = 8,  /* that share a key in registers */
    GROUP = 128,  /* queries that a block is kept for */
    COLUMNS = 64, /* of values, four vectors for each of four queries */
};

/* What a query has seen so far. */
struct seen {
    float top[GROUP], total[GROUP]; /* largest score, and the sum of e^(score - top) */
    float shrink[GROUP];            /* what the latest block makes of what was before it */
};

/* s [H, KEYS]: scale * q.K of 16 W positions. */
INLINE void score(const float *q, const float *k, uint32_t dim, float scale, float *s, const int H,
                  const int W)
{
    __m512 sum[2 * QUERIES];
    UNROLL(16)
    for (int i = 0; i < H * W; i++)
        sum[i] = _mm512_setzero_ps();
    for (size_t i = 0; i < dim; i++) {
        __m512 x[2];
        UNROLL(2)
        for (int w = 0; w < W; w++)
            x[w] = _mm512_loadu_ps(k + ((size_t)w * dim + i) * LANES);
        UNROLL(8)
        for (int h = 0; h < H; h++) {
            const __m512 b = _mm512_set1_ps(q[(size_t)h * dim + i]);
            UNROLL(2)
            for (int w = 0; w < W; w++)
                sum[h * W + w] = _mm512_fmadd_ps(x[w], b, sum[h * W + w]);
        }
    }
    UNROLL(16)
    for (int i = 0; i < H * W; i++)
        _mm512_storeu_ps(s + i / W * KEYS + i % W * LANES,
                         _mm512_mul_ps(sum[i], _mm512_set1_ps(scale)));
}

/* The n scores of a query become e^(score - largest so far). */
INLINE void soften(float *s, uint32_t n, struct seen *u, uint32_t h)
{
    __m512 largest = _mm512_set1_ps(-INFINITY), total = _mm512_setzero_ps();
    for (uint32_t p = 0; p < n; p += LANES) /* NaN stays in s */
        largest = _mm512_mask_max_ps(largest, lanes_of(n - p), _mm512_loadu_ps(s + p), largest);
    const float here = _mm512_reduce_max_ps(largest), top = here > u->top[h] ? here : u->top[h];
    for (uint32_t p = 0; p < n; p += LANES) {
        const __m512 e = exp_ps(_mm512_sub_ps(_mm512_loadu_ps(s + p), _mm512_set1_ps(top)));
        total = _mm512_mask_add_ps(total, lanes_of(n - p), total, e);
        _mm512_storeu_ps(s + p, e);
    }
    u->shrink[h] =
        u->top[h] > -INFINITY ? _mm512_cvtss_f32(exp_ps(_mm512_set1_ps(u->top[h] - top))) : 0.0f;
    u->total[h] = u->total[h] * u->shrink[h] + _mm512_reduce_add_ps(total);
    u->top[h] = top;
}

/* out [H, dim] = out * shrink + sum_p s[p] * v[p] of n positions, COLUMNS columns from `at` on.
 * first: out counts as 0. */
INLINE void weigh(const float *v, uint32_t dim, uint32_t n, uint32_t at, const float *s,
                  const float *shrink, bool first, float *out, const int H)
{
    __mmask16 m[4];
    __m512 sum[16];
    UNROLL(4)
    for (uint32_t j = 0; j < 4; j++)
        m[j] = at + j * LANES < dim ? lanes_of(dim - at - j * LANES) : 0;
    UNROLL(16)
    for (int i = 0; i < 4 * H; i++) {
        const float *from = out + (size_t)(i / 4) * dim + at + (uint32_t)(i % 4) * LANES;
        sum[i] = _mm512_mul_ps(_mm512_maskz_loadu_ps(first ? 0 : m[i % 4], from),
                               _mm512_set1_ps(shrink[i / 4]));
    }
    for (uint32_t p = 0; p < n; p++) {
        __m512 x[4];
        UNROLL(4)
        for (uint32_t j = 0; j < 4; j++)
            x[j] = _mm512_maskz_loadu_ps(m[j], v + (size_t)p * dim + at + j * LANES);
        UNROLL(4)
        for (int h = 0; h < H; h++) {
            const __m512 e = _mm512_set1_ps(s[(uint32_t)h * KEYS + p]);
            UNROLL(4)
            for (int j = 0; j < 4; j++)
                sum[h * 4 + j] = _mm512_fmadd_ps(e, x[j], sum[h * 4 + j]);
        }
    }
    UNROLL(16)
    for (int i = 0; i < 4 * H; i++)
        _mm512_mask_storeu_ps(out + (size_t)(i / 4) * dim + at + (uint32_t)(i % 4) * LANES,
                              m[i % 4], sum[i]);
}

/* H queries, number h of their group on, take their part of a block of n positions. */
INLINE void take(const float *q, const float *k, const float *v, uint32_t dim, uint32_t n,
                 float scale, bool first, struct seen *u, uint32_t h, float *out, const int H)
{
    _Alignas(64) float s[QUERIES * KEYS];
    const int most = H < 4 ? H : 4;
    uint32_t p = 0;
    for (; p + LANES < n; p += 2 * LANES)
        score(q, k + (size_t)p * dim, dim, scale, s + p, H, 2);
    if (p < n)
        score(q, k + (size_t)p * dim, dim, scale, s + p, H, 1);
    for (int i = 0; i < H; i++)
        soften(s + i * KEYS, n, u, h + (uint32_t)i);
    for (int i = 0; i < H; i += most)
        for (uint32_t at = 0; at < dim; at += COLUMNS)
            weigh(v, dim, n, at, s + i * KEYS, u->shrink + h + i, first, out + (size_t)i * dim,
                  most);
}

/* n_heads <= GROUP queries take their part of a block. */
static void take_all(const float *q, uint32_t n_heads, const float *k, const float *v, uint32_t dim,
                     uint32_t n, float scale, bool first, struct seen *u, float *out)
{
    uint32_t h = 0;
    for (; h + 8 <= n_heads; h += 8)
        take(q + (size_t)h * dim, k, v, dim, n, scale, first, u, h, out + (size_t)h * dim, 8);
    for (; h + 4 <= n_heads; h += 4)
        take(q + (size_t)h * dim, k, v, dim, n, scale, first, u, h, out + (size_t)h * dim, 4);
    for (; h < n_heads; h++)
        take(q + (size_t)h * dim, k, v, dim, n, scale, first, u, h, out + (size_t)h * dim, 1);
}

static void attend_group(const float *q, uint32_t n_heads, const float *k, const float *v,
                         uint32_t dim, uint32_t n, float scale, float *out)
{
    struct seen u;
    for (uint32_t h = 0; h < n_heads; h++) {
        u.top[h] = -INFINITY;
        u.total[h] = 0.0f;
    }
    for (uint32_t p = 0; p < n; p += KEYS)
        take_all(q, n_heads, k + (size_t)p * dim, v + (size_t)p * dim, dim,
                 n - p < KEYS ? n - p : KEYS, scale, p == 0, &u, out);
    for (uint32_t h = 0; h < n_heads; h++) {
        const float inverse = 1.0f / u.total[h];
        for (uint32_t i = 0; i < dim; i++)
            out[(size_t)h * dim + i] *= inverse;
    }
}

void jm_avx512_attend_many(const float *q, uint32_t n_heads, const float *k, const float *v,
                           uint32_t dim, uint32_t n, float scale, float *out)
{
    for (uint32_t h = 0; h < n_heads; h += GROUP)
        attend_group(q + (size_t)h * dim, n_heads - h < GROUP ? n_heads - h : GROUP, k, v, dim, n,
                     scale, out + (size_t)h * dim);
}
