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

/* What queries have seen so far; eight are read at once. */
struct seen {
    float top[GROUP + LANES], total[GROUP + LANES]; /* largest score; sum of e^(score - top) */
    float scale[GROUP + LANES]; /* what the latest block makes of what was before it */
};

/* The largest of n scores, a multiple of 16. NaN loses. */
INLINE float largest_score(const float *s, uint32_t n)
{
    __m256 even = _mm256_loadu_ps(s), odd = _mm256_loadu_ps(s + LANES);
    const __m256 low = _mm256_set1_ps(-INFINITY);
    even = _mm256_max_ps(even, low);
    odd = _mm256_max_ps(odd, low);
    for (uint32_t p = KEY_BLOCK; p < n; p += KEY_BLOCK) {
        even = _mm256_max_ps(_mm256_loadu_ps(s + p), even);
        odd = _mm256_max_ps(_mm256_loadu_ps(s + p + LANES), odd);
    }
    return largest_of(_mm256_max_ps(even, odd));
}

/* H queries' largest scores, of n here and of all before. */
INLINE void raise_tops(const float *s, uint32_t n, struct seen *u, uint32_t first, const int H)
{
    const __m256 before = _mm256_loadu_ps(u->top + first);
    float here[LANES];
    _mm256_storeu_ps(here, before);
    for (int h = 0; h < H; h++)
        here[h] = largest_score(s + h * KEYS, n);
    const __m256 top = _mm256_max_ps(_mm256_loadu_ps(here), before);
    const __m256 same = _mm256_cmp_ps(before, top, _CMP_GE_OQ); /* infinite ones too */
    _mm256_storeu_ps(u->scale + first, _mm256_blendv_ps(exp_ps(_mm256_sub_ps(before, top)),
                                                        _mm256_set1_ps(1.0f), same));
    _mm256_storeu_ps(u->top + first, top);
}

/* Of T queries, 2 or 1, n scores become e^(score - largest so far), and a part of the total. Four
 * vectors at a time. */
INLINE void soften(float *s, uint32_t n, struct seen *u, uint32_t h, const int T)
{
    __m256 total[2] = { _mm256_setzero_ps(), _mm256_setzero_ps() };
    for (uint32_t p = 0; p < n; p += KEY_BLOCK) {
        __m256 e[4];
#pragma GCC unroll 4
        for (int i = 0; i < 2 * T; i++)
            e[i] = _mm256_sub_ps(_mm256_loadu_ps(s + i / 2 * KEYS + p + (uint32_t)(i % 2) * LANES),
                                 _mm256_set1_ps(u->top[h + (uint32_t)i / 2]));
        exp_each(e, 2 * T);
#pragma GCC unroll 4
        for (int i = 0; i < 2 * T; i++) {
            _mm256_storeu_ps(s + i / 2 * KEYS + p + (uint32_t)(i % 2) * LANES, e[i]);
            total[i / 2] = _mm256_add_ps(total[i / 2], e[i]);
        }
    }
#pragma GCC unroll 2
    for (int t = 0; t < T; t++)
        u->total[h + (uint32_t)t] =
            u->total[h + (uint32_t)t] * u->scale[h + (uint32_t)t] + sum_of(total[t]);
}

/* H queries' scores of a block become weights. */
INLINE void soften_all(float *s, const struct block *b, struct seen *u, uint32_t first, const int H)
{
    const uint32_t whole = key_blocks(b->n);
    for (int h = 0; h < H; h++)
        for (uint32_t p = b->n; p < whole; p++)
            s[(uint32_t)h * KEYS + p] = -INFINITY;
    raise_tops(s, whole, u, first, H);
    for (int h = 0; h < H; h += 2)
        soften(s + h * KEYS, whole, u, first + (uint32_t)h, H == 1 ? 1 : 2);
}

/* H queries, number h of their group on, take their part of a block of n positions. */
INLINE void take(const float *q, const struct block *b, uint32_t dim, float scale, struct seen *u,
                 uint32_t h, float *out, const int H, const enum kv_form form)
{
    float s[MOST_QUERIES * KEYS];
    score_block(q, b, dim, scale, s, H, form);
    soften_all(s, b, u, h, H);
    weigh_block(b, dim, s, u->scale + h, u->total + h, out, H, form);
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
    for (uint32_t h = 0; h < n_heads; h += LANES) {
        _mm256_storeu_ps(u.top + h, _mm256_set1_ps(-INFINITY));
        _mm256_storeu_ps(u.total + h, _mm256_setzero_ps());
    }
    for (uint32_t p = 0; p < all.n; p += KEYS) {
        const struct block b = block_at(&all, p, dim, form);
        take_all(q, n_heads, &b, dim, scale, &u, out, form);
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
