/* SPDX-License-Identifier: Apache-2.0 */
/* Attention with AVX2: any number of queries over the same keys and values, in F32, F16 or Q8_0.
 * Positions are taken in blocks. Of each, up to six queries share a key or value in a register, and
 * the softmax goes on from block to block: when a larger score comes, what is summed so far shrinks
 * by e^(old largest - new largest) (Milakov and Gimelshein 2018, arXiv:1805.02867). The order of a
 * query's sums does not depend on the queries beside it. */
#include <math.h>

#include "backends/cpu/avx2/attend_tiles.h"
#include "backends/cpu/kernels.h"

enum { GROUP = 64 }; /* queries that a block stays in the caches for */

/* What queries have seen so far. */
struct seen {
    float top[GROUP], total[GROUP]; /* largest score, and the sum of e^(score - top) */
    float shrink[GROUP];            /* what the latest block makes of what was before it */
};

/* The n scores of a query become e^(score - largest so far). */
static void soften(float *s, uint32_t n, struct seen *u, uint32_t h)
{
    __m256 largest = _mm256_set1_ps(-INFINITY), total = _mm256_setzero_ps();
    for (uint32_t p = n; p % LANES; p++)
        s[p] = -INFINITY;
    for (uint32_t p = 0; p < n; p += LANES)
        largest = _mm256_max_ps(_mm256_loadu_ps(s + p), largest); /* NaN stays in s */
    const float here = largest_of(largest), top = here > u->top[h] ? here : u->top[h];
    for (uint32_t p = 0; p < n; p += LANES) {
        const __m256 e = exp_ps(_mm256_sub_ps(_mm256_loadu_ps(s + p), _mm256_set1_ps(top)));
        total = _mm256_add_ps(total, e);
        _mm256_storeu_ps(s + p, e);
    }
    u->shrink[h] = u->top[h] >= top ? 1.0f
                   : u->top[h] > -INFINITY
                       ? _mm256_cvtss_f32(exp_ps(_mm256_set1_ps(u->top[h] - top)))
                       : 0.0f;
    u->total[h] = u->total[h] * u->shrink[h] + sum_of(total);
    u->top[h] = top;
}

/* H queries, number h of their group on, take their part of a block of n positions. */
INLINE void take(const float *q, const struct block *b, uint32_t dim, float scale, struct seen *u,
                 uint32_t h, float *out, const int H, const enum kv_form form)
{
    float s[MOST_QUERIES * KEYS];
    score_block(q, b, dim, scale, s, H, form);
    for (int i = 0; i < H; i++)
        soften(s + i * KEYS, b->n, u, h + (uint32_t)i);
    weigh_block(b, dim, s, u->shrink + h, out, H, form);
}

/* n_heads <= GROUP queries take their part of a block. */
INLINE void take_all(const float *q, uint32_t n_heads, const struct block *b, uint32_t dim,
                     float scale, struct seen *u, float *out, const enum kv_form form)
{
    uint32_t h = 0;
    for (; h + 6 <= n_heads; h += 6)
        take(q + (size_t)h * dim, b, dim, scale, u, h, out + (size_t)h * dim, 6, form);
    for (; h + 4 <= n_heads; h += 4)
        take(q + (size_t)h * dim, b, dim, scale, u, h, out + (size_t)h * dim, 4, form);
    for (; h + 2 <= n_heads; h += 2)
        take(q + (size_t)h * dim, b, dim, scale, u, h, out + (size_t)h * dim, 2, form);
    for (; h < n_heads; h++)
        take(q + (size_t)h * dim, b, dim, scale, u, h, out + (size_t)h * dim, 1, form);
}

INLINE void attend_group(const float *q, uint32_t n_heads, struct block all, uint32_t dim,
                         float scale, float *out, const enum kv_form form)
{
    struct seen u;
    for (uint32_t h = 0; h < n_heads; h++) {
        u.top[h] = -INFINITY;
        u.total[h] = 0.0f;
    }
    for (uint32_t p = 0; p < all.n; p += KEYS) {
        const struct block b = block_at(&all, p, dim, form);
        take_all(q, n_heads, &b, dim, scale, &u, out, form);
    }
    for (uint32_t h = 0; h < n_heads; h++) {
        const float inverse = 1.0f / u.total[h];
        for (uint32_t i = 0; i < dim; i++)
            out[(size_t)h * dim + i] *= inverse;
    }
}

INLINE void attend_all(const float *q, uint32_t n_heads, const struct block *all, uint32_t dim,
                       float scale, float *out, const enum kv_form form)
{
    for (uint32_t h = 0; h < n_heads; h += GROUP)
        attend_group(q + (size_t)h * dim, n_heads - h < GROUP ? n_heads - h : GROUP, *all, dim,
                     scale, out + (size_t)h * dim, form);
}

void jm_avx2_attend(const float *q, uint32_t n_heads, const float *k, const float *v, uint32_t dim,
                    uint32_t n, float scale, float *scores, float *out)
{
    (void)scores;
    attend_all(q, n_heads, &(struct block){ .k = k, .v = v, .n = n }, dim, scale, out, KV_F32);
}

void jm_avx2_attend16(const float *q, uint32_t n_heads, const uint16_t *k, const uint16_t *v,
                      uint32_t dim, uint32_t n, float scale, float *scores, float *out)
{
    (void)scores;
    attend_all(q, n_heads, &(struct block){ .k = k, .v = v, .n = n }, dim, scale, out, KV_F16);
}

void jm_avx2_attend8(const float *q, uint32_t n_heads, const struct jm_kv8 *kv, uint32_t dim,
                     uint32_t n, float scale, float *scores, float *out)
{
    const struct block all = { .k = kv->k, .v = kv->v, .dk = kv->dk, .dv = kv->dv, .n = n };
    (void)scores;
    attend_all(q, n_heads, &all, dim, scale, out, KV_Q8);
}
