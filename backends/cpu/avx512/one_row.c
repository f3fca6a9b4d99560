/* SPDX-License-Identifier: Apache-2.0 */
/* One row by weights of Q4K and Q6K: what bounds it is reading the weights. SIDE groups are read
 * side by side, each as two streams, levels and scales, and what comes later in each is asked for:
 * processors do not look beyond a page by themselves, and a group of 2048 inputs ends within a
 * microsecond. Behind its end comes the group that the stream reads next.
 *
 * A sum adds what the tiles of several rows in kernels.c add, in the same order: a row gets the
 * same result alone and among others. */
#include <immintrin.h>

#include "backends/cpu/avx512/lanes.h"
#include "backends/cpu/kernels.h"

enum {
    LINE = 64,
    SIDE = 4,
    AHEAD = 1536, /* bytes of each of SIDE streams: some 200 ns of reading */
};

/* The levels, or the scales, of each of the groups that are read side by side. */
struct stream {
    const uint8_t *p; /* of the first group */
    size_t each;      /* from one group to the next one */
    size_t end;       /* bytes of one group's */
};

/* Asks for n bytes from `to` on of each of G groups; beyond the end, of the groups that follow. */
INLINE void ask_groups(const struct stream *s, size_t to, size_t n, const int G)
{
    const uint8_t *p = s->p + (to < s->end ? to : to - s->end + (size_t)G * s->each);
    UNROLL(4)
    for (int j = 0; j < G; j++) {
        UNROLL(8)
        for (size_t i = 0; i < n; i += LINE)
            _mm_prefetch((const char *)p + (size_t)j * s->each + i, _MM_HINT_T0);
    }
}

/* acc[j] += a block of levels of four bits. */
INLINE void dot_four_bits(__m512i *acc, const struct stream *s, size_t at, const int8_t *q,
                          const int G)
{
    const __m512i low = _mm512_set1_epi8(15);
    UNROLL(4)
    for (int i = 0; i < 4; i++) {
        const __m512i x0 = word_at(q + 4 * i), x1 = word_at(q + 4 * (i + 4));
        UNROLL(4)
        for (int j = 0; j < G; j++) {
            const __m512i v = _mm512_load_si512(s->p + (size_t)j * s->each + at + LINE * (size_t)i);
            acc[j] = _mm512_dpbusd_epi32(acc[j], _mm512_and_si512(v, low), x0);
            acc[j] =
                _mm512_dpbusd_epi32(acc[j], _mm512_and_si512(_mm512_srli_epi16(v, 4), low), x1);
        }
    }
}

/* acc[j] += half a block of Q6K. */
INLINE void dot_six_bits(__m512i *acc, const struct stream *s, size_t at, const int8_t *q,
                         const int half, const int G)
{
    UNROLL(4)
    for (int i = 4 * half; i < 4 * half + 4; i++) {
        const __m512i x = word_at(q + 4 * i);
        UNROLL(4)
        for (int j = 0; j < G; j++)
            acc[j] = _mm512_dpbusd_epi32(acc[j], six_bits(s->p + (size_t)j * s->each + at, i), x);
    }
}

/* w = d scale q - dmin offset: sum += dx (d scale (q . x)) - dmin offset (dx sum of x) */
INLINE void add_q4k(__m512 *sum, const struct stream *s, size_t at, const uint8_t *scales,
                    const struct jm_acts *x, uint32_t b, const int G)
{
    const __m512 dx = _mm512_set1_ps(x->d[b]), dsum = _mm512_set1_ps(x->dsum[b]);
    __m512i acc[SIDE];
    UNROLL(4)
    for (int j = 0; j < G; j++)
        acc[j] = _mm512_set1_epi32(SUM_ZERO);
    dot_four_bits(acc, s, at, x->q + (size_t)b * BLOCK, G);
    UNROLL(4)
    for (int j = 0; j < G; j++) {
        const uint8_t *of = scales + (size_t)j * s->each;
        const __m512 scale = _mm512_mul_ps(halves_to_ps(of), bytes_to_ps(of + (4 + b % 8) * LANES));
        const __m512 offset =
            _mm512_mul_ps(halves_to_ps(of + 2 * LANES), bytes_to_ps(of + (12 + b % 8) * LANES));
        sum[j] = add_sum(sum[j], acc[j], scale, dx);
        sum[j] = _mm512_fnmadd_ps(offset, dsum, sum[j]);
    }
}

/* w = d scale (q - 32), with a scale for each 16 inputs */
INLINE void add_q6k(__m512 *sum, const struct stream *s, size_t at, const uint8_t *scales,
                    const struct jm_acts *x, uint32_t b, const int G)
{
    const __m512 dx = _mm512_set1_ps(x->d[b]);
    UNROLL(2)
    for (int half = 0; half < 2; half++) {
        __m512i acc[SIDE];
        UNROLL(4)
        for (int j = 0; j < G; j++)
            acc[j] = _mm512_set1_epi32(SUM_ZERO - 32 * x->sum16[2 * (size_t)b + (size_t)half]);
        dot_six_bits(acc, s, at, x->q + (size_t)b * BLOCK, half, G);
        UNROLL(4)
        for (int j = 0; j < G; j++) {
            const uint8_t *of = scales + (size_t)j * s->each;
            const __m512 scale = _mm512_mul_ps(
                halves_to_ps(of), sbytes_to_ps(of + (2 + b % 8 * 2 + (uint32_t)half) * LANES));
            sum[j] = add_sum(sum[j], acc[j], scale, dx);
        }
    }
}

INLINE void tile(const struct jm_packed *w, const struct jm_acts *x, float *y, uint32_t g,
                 const int G, const enum jm_pack_kind kind)
{
    const size_t block = (kind == JM_PACK_Q4K ? 4 : 6) * LINE;
    const size_t scale_bytes = (kind == JM_PACK_Q4K ? 20 : 18) * LANES; /* of 8 blocks */
    const uint32_t n = w->t.cols / BLOCK;
    const struct stream levels = { .p = w->data + g * w->group_bytes,
                                   .each = w->group_bytes,
                                   .end = w->scales };
    const struct stream scales = { .p = levels.p + w->scales,
                                   .each = w->group_bytes,
                                   .end = n / 8 * scale_bytes };
    __m512 sum[SIDE];
    UNROLL(4)
    for (int j = 0; j < G; j++)
        sum[j] = _mm512_setzero_ps();
    for (uint32_t b = 0; b < n; b++) {
        const size_t at = b * block, scales_at = b / 8 * scale_bytes;
        ask_groups(&levels, at + AHEAD, block, G);
        if (b % 8 == 0)
            ask_groups(&scales, scales_at + scale_bytes, scale_bytes, G);
        if (kind == JM_PACK_Q4K)
            add_q4k(sum, &levels, at, scales.p + scales_at, x, b, G);
        else
            add_q6k(sum, &levels, at, scales.p + scales_at, x, b, G);
    }
    UNROLL(4)
    for (int j = 0; j < G; j++) {
        const uint32_t o = (g + (uint32_t)j) * LANES;
        _mm512_mask_storeu_ps(y + o, lanes_of(w->t.rows - o), sum[j]);
    }
}

INLINE void groups(const struct jm_packed *w, const struct jm_acts *x, float *y, uint32_t g0,
                   uint32_t g1, const enum jm_pack_kind kind)
{
    uint32_t g = g0;
    for (; g + SIDE <= g1; g += SIDE)
        tile(w, x, y, g, SIDE, kind);
    for (; g < g1; g++)
        tile(w, x, y, g, 1, kind);
}

void jm_avx512_linear_row(const struct jm_packed *w, const struct jm_acts *x, float *y, uint32_t g0,
                          uint32_t g1)
{
    if (w->kind == JM_PACK_Q4K)
        groups(w, x, y, g0, g1, JM_PACK_Q4K);
    else
        groups(w, x, y, g0, g1, JM_PACK_Q6K);
}
