/* SPDX-License-Identifier: Apache-2.0 */
/* Attention over keys and values in Q8_0, with AVX-512 VNNI.
 *
 * A query is rounded to 15 bits for each 32 of its values, and cut into two bytes, 128 high + low:
 * then two products of bytes take it with four levels of sixteen keys, and what the rounding adds
 * is a hundredth of what the keys have lost already. Values become floats in registers, shared by
 * up to four heads. */
#include <float.h>
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "backends/cpu/avx512/lanes.h"
#include "backends/cpu/kernels.h"

enum {
    BLOCKS = JM_ATTEND8_DIM / BLOCK,
    MOST = 127 * 128 + 63, /* of an integer of a query: high and low within 127 */
};

/* One head's. */
struct query {
    int8_t high[JM_ATTEND8_DIM], low[JM_ATTEND8_DIM];
    int32_t high_sum[BLOCKS], low_sum[BLOCKS]; /* of 32 */
    float d[BLOCKS];                           /* largest of the 32 / MOST */
};

/* 16 integers to their bytes; returns the high ones. */
INLINE __m512i split(__m512i v, int8_t *high, int8_t *low)
{
    const __m512i h = _mm512_srai_epi32(_mm512_add_epi32(v, _mm512_set1_epi32(64)), 7);
    const __m512i l = _mm512_sub_epi32(v, _mm512_slli_epi32(h, 7));
    _mm_storeu_si128((__m128i *)(void *)high, _mm512_cvtepi32_epi8(h));
    _mm_storeu_si128((__m128i *)(void *)low, _mm512_cvtepi32_epi8(l));
    return h;
}

/* A block that is not finite gets scale NaN, so that it is not hidden. */
static void round_query(const float *x, uint32_t dim, struct query *q)
{
    for (uint32_t b = 0; b < dim / BLOCK; b++, x += BLOCK) {
        const __m512 x0 = _mm512_loadu_ps(x), x1 = _mm512_loadu_ps(x + LANES);
        const __m512 a0 = _mm512_abs_ps(x0), a1 = _mm512_abs_ps(x1), top = _mm512_set1_ps(FLT_MAX);
        const int sane = _mm512_cmp_ps_mask(a0, top, _CMP_NLE_UQ) == 0 &&
                         _mm512_cmp_ps_mask(a1, top, _CMP_NLE_UQ) == 0;
        const float largest = _mm512_reduce_max_ps(_mm512_max_ps(a0, a1));
        const __m512 inverse = _mm512_set1_ps(largest > 1e-30f && sane ? MOST / largest : 0.0f);
        const __mmask16 keep = sane ? 0xffff : 0;
        const __m512i v0 = _mm512_maskz_cvtps_epi32(keep, _mm512_mul_ps(x0, inverse));
        const __m512i v1 = _mm512_maskz_cvtps_epi32(keep, _mm512_mul_ps(x1, inverse));
        int8_t *high = q->high + b * BLOCK, *low = q->low + b * BLOCK;
        const __m512i h =
            _mm512_add_epi32(split(v0, high, low), split(v1, high + LANES, low + LANES));
        q->high_sum[b] = _mm512_reduce_add_epi32(h);
        q->low_sum[b] = _mm512_reduce_add_epi32(_mm512_add_epi32(v0, v1)) - 128 * q->high_sum[b];
        q->d[b] = sane ? largest / MOST : NAN;
    }
}

/* s[h] += the products of 32 values of each query and of 16 keys. k: the levels, d: scales of the
 * keys. Levels are taken as level + 128: what that adds is taken off first. */
INLINE void score_block(__m512 *s, const struct query *q, uint32_t b, const int8_t *k, __m512 d,
                        const int H)
{
    __m512i high[4], low[4];
    UNROLL(4)
    for (int h = 0; h < H; h++) {
        high[h] = _mm512_set1_epi32(-128 * q[h].high_sum[b]);
        low[h] = _mm512_set1_epi32(-128 * q[h].low_sum[b]);
    }
    UNROLL(8)
    for (int i = 0; i < BLOCK / 4; i++) {
        ask_kv(k + (size_t)i * 4 * LANES + KEYS_AHEAD, 64);
        const __m512i v =
            _mm512_xor_si512(_mm512_loadu_si512(k + (size_t)i * 4 * LANES), _mm512_set1_epi8(-128));
        UNROLL(4)
        for (int h = 0; h < H; h++) {
            const size_t at = b * BLOCK + 4 * (size_t)i;
            high[h] = _mm512_dpbusd_epi32(high[h], v, word_at(q[h].high + at));
            low[h] = _mm512_dpbusd_epi32(low[h], v, word_at(q[h].low + at));
        }
    }
    UNROLL(4)
    for (int h = 0; h < H; h++) {
        const __m512i sum = _mm512_add_epi32(_mm512_slli_epi32(high[h], 7), low[h]);
        s[h] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_mul_ps(d, _mm512_set1_ps(q[h].d[b])),
                               s[h]);
    }
}

/* scores [H, ld]: scale * q.K of 16 positions at a time, the largest of each head in top. Keys of
 * positions beyond n are whatever lies there; they are masked. */
INLINE void score_keys(const struct query *q, const struct jm_kv8 *kv, uint32_t dim, uint32_t n,
                       float scale, float *scores, size_t ld, float *top, const int H)
{
    __m512 largest[4];
    UNROLL(4)
    for (int h = 0; h < H; h++)
        largest[h] = _mm512_set1_ps(-INFINITY);
    for (uint32_t p = 0; p < n; p += LANES) {
        const int8_t *k = kv->k + (size_t)p * dim;
        const uint16_t *d = kv->dk + (size_t)p * (dim / BLOCK);
        __m512 s[4];
        UNROLL(4)
        for (int h = 0; h < H; h++)
            s[h] = _mm512_setzero_ps();
        for (uint32_t b = 0; b < dim / BLOCK; b++, k += BLOCK * LANES, d += LANES)
            score_block(s, q, b, k, halves_to_ps((const uint8_t *)d), H);
        const __mmask16 m = lanes_of(n - p);
        UNROLL(4)
        for (int h = 0; h < H; h++) {
            s[h] = _mm512_mul_ps(s[h], _mm512_set1_ps(scale));
            largest[h] = _mm512_mask_max_ps(largest[h], m, s[h], largest[h]); /* NaN stays in s */
            _mm512_storeu_ps(scores + (size_t)h * ld + p, s[h]);
        }
    }
    UNROLL(4)
    for (int h = 0; h < H; h++)
        top[h] = _mm512_reduce_max_ps(largest[h]);
}

/* out [H, dim] += scores[p] * v[p] of positions from..to, 32 * B columns from `at` on; from 0 on
 * they begin at 0. n: how many positions there are. */
INLINE void weigh_part(const struct jm_kv8 *kv, uint32_t dim, uint32_t n, uint32_t from,
                       uint32_t to, uint32_t at, const float *scores, size_t ld, float *out,
                       const int H, const int B)
{
    const int8_t *v = kv->v + (size_t)from * dim + at;
    const uint16_t *d = kv->dv + ((size_t)from * dim + at) / BLOCK;
    const __mmask16 go_on = from > 0 ? 0xffff : 0;
    __m512 s[16];
    UNROLL(16)
    for (int i = 0; i < 2 * B * H; i++)
        s[i] = _mm512_maskz_loadu_ps(go_on, out + (size_t)(i / (2 * B)) * dim + at +
                                                (size_t)(i % (2 * B)) * LANES);
    for (uint32_t p = from; p < to; p++, v += dim, d += dim / BLOCK) {
        __m512 x[4];
        if (at == 0 && p + VALUE_ROWS < n)
            ask_kv(v + (size_t)VALUE_ROWS * dim, dim);
        UNROLL(4)
        for (int j = 0; j < 2 * B; j++) {
            const __m128i levels = _mm_loadu_si128((const __m128i *)(const void *)(v + j * LANES));
            x[j] = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(levels)),
                                 _mm512_set1_ps(_cvtsh_ss(d[j / 2])));
        }
        UNROLL(4)
        for (int h = 0; h < H; h++) {
            const __m512 e = _mm512_set1_ps(scores[(size_t)h * ld + p]);
            UNROLL(4)
            for (int j = 0; j < 2 * B; j++)
                s[h * 2 * B + j] = _mm512_fmadd_ps(e, x[j], s[h * 2 * B + j]);
        }
    }
    UNROLL(16)
    for (int i = 0; i < 2 * B * H; i++)
        _mm512_storeu_ps(out + (size_t)(i / (2 * B)) * dim + at + (size_t)(i % (2 * B)) * LANES,
                         s[i]);
}

/* out [H, dim] = sum_p scores[p] * v[p] * inverse */
INLINE void weigh_values(const struct jm_kv8 *kv, uint32_t dim, uint32_t n, const float *scores,
                         size_t ld, const float *inverse, float *out, const int H)
{
    for (uint32_t from = 0; from < n; from += VALUE_ROWS) {
        const uint32_t to = n - from < VALUE_ROWS ? n : from + VALUE_ROWS;
        uint32_t at = 0;
        for (; at + 2 * BLOCK <= dim; at += 2 * BLOCK)
            weigh_part(kv, dim, n, from, to, at, scores, ld, out, H, 2);
        if (at < dim)
            weigh_part(kv, dim, n, from, to, at, scores, ld, out, H, 1);
    }
    for (int h = 0; h < H; h++)
        for (uint32_t i = 0; i < dim; i++)
            out[(size_t)h * dim + i] *= inverse[h];
}

INLINE void attend_heads(const float *x, const struct jm_kv8 *kv, uint32_t dim, uint32_t n,
                         float scale, float *scores, float *out, const int H)
{
    const size_t ld = (n + LANES - 1) & ~(size_t)(LANES - 1);
    float top[4], inverse[4];
    struct query q[4];
    for (int h = 0; h < H; h++)
        round_query(x + (size_t)h * dim, dim, &q[h]);
    score_keys(q, kv, dim, n, scale, scores, ld, top, H);
    for (int h = 0; h < H; h++)
        inverse[h] = jm_avx512_soften(scores + (size_t)h * ld, n, top[h]);
    weigh_values(kv, dim, n, scores, ld, inverse, out, H);
}

void jm_avx512_attend8(const float *q, uint32_t n_heads, const struct jm_kv8 *kv, uint32_t dim,
                       uint32_t n, float scale, float *scores, float *out)
{
    uint32_t h = 0;
    for (; h + 4 <= n_heads; h += 4, q += 4 * (size_t)dim, out += 4 * (size_t)dim)
        attend_heads(q, kv, dim, n, scale, scores, out, 4);
    for (; h + 2 <= n_heads; h += 2, q += 2 * (size_t)dim, out += 2 * (size_t)dim)
        attend_heads(q, kv, dim, n, scale, scores, out, 2);
    for (; h < n_heads; h++, q += dim, out += dim)
        attend_heads(q, kv, dim, n, scale, scores, out, 1);
}
