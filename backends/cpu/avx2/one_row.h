/* SPDX-License-Identifier: Apache-2.0 */
/* Few rows by quantised weights: what bounds them is reading the weights. They are read as SIDE
 * streams side by side, each a part of the groups from end to end, with scales where they are used
 * (pack.h): processors follow a stream by themselves as long as it goes on without a gap. What
 * comes a little later in each is asked for a line at a time between the products, for they do not
 * look beyond a page. To ask for more than they read ahead anyway makes them wait.
 *
 * A sum adds what the tiles of several rows add, in the same order: a row gets the same result
 * alone and among others. */
#ifndef JM_BACKENDS_CPU_AVX2_ONE_ROW_H
#define JM_BACKENDS_CPU_AVX2_ONE_ROW_H

#include "backends/cpu/avx2/levels.h"

enum {
    SIDE = 4,    /* streams: groups, or two of them by two rows */
    AHEAD = 384, /* bytes of each */
    FEW_ROWS = 3,
};

/* The block of each of the groups that are read side by side. */
struct side {
    const uint8_t *levels, *scales; /* of the first group */
    const uint8_t *ask;             /* levels of the first group to ask for */
    size_t each;                    /* from one group to the next one */
};

INLINE int bits_of(const enum jm_pack_kind kind)
{
    return kind == JM_PACK_Q8 ? 8 : kind == JM_PACK_Q6K ? 6 : 4;
}

/* Step i of eight in an order that uses up each vector. */
INLINE int step_at(const int i, const enum jm_pack_kind kind)
{
    return bits_of(kind) == 4 ? i / 2 + i % 2 * 4 : i;
}

/* Asks for a line of each group when step i of eight is the first of its part of the block. */
INLINE void ask_line(const struct side *s, const int i, const int G, const enum jm_pack_kind kind)
{
    const int lines = bits_of(kind) * LANES * BLOCK / 8 / LINE, line = i * lines / 8;
    if (i > 0 && (i - 1) * lines / 8 == line)
        return;
#pragma GCC unroll 4
    for (int j = 0; j < G; j++)
        _mm_prefetch((const char *)s->ask + (size_t)j * s->each + LINE * (size_t)line, _MM_HINT_T0);
}

/* In a register, in this order: GCC would add up in another one, and store what it keeps for it. */
INLINE void keep(__m256i *v)
{
    __asm__("" : "+x"(*v));
}

/* What a step adds, and its part of a block's sum, when `factor` scales it: of Q6K only. */
#if defined(__AVXVNNI__)
INLINE void add_step(__m256i *part, __m256i w, __m256i x, const enum jm_pack_kind kind)
{
    (void)kind;
    *part = _mm256_dpbusd_avx_epi32(*part, w, x);
}

INLINE __m256i weighted(__m256i part, const uint8_t *factor, const enum jm_pack_kind kind)
{
    return kind == JM_PACK_Q6K ? _mm256_mullo_epi32(part, factor_of(factor)) : part;
}

INLINE int steps_in_part(const enum jm_pack_kind kind)
{
    return kind == JM_PACK_Q6K ? 4 : 8;
}

/* -32 times the sum of 16 inputs. */
INLINE __m256i q6k_start(const int8_t *q, const int32_t *sum16)
{
    (void)q;
    return _mm256_set1_epi32(-32 * *sum16);
}
#else
/* Two products of u8 by s8, added. VPMADDUBSW saturates at 16 bits: Q8 goes in as |w| and x with
 * w's sign, at most 2 * 128 * 127 = 32,512. */
INLINE __m256i products(__m256i w, __m256i x, const enum jm_pack_kind kind)
{
    if (kind != JM_PACK_Q8)
        return _mm256_maddubs_epi16(w, x);
    w = _mm256_xor_si256(w, _mm256_set1_epi8((char)0x80));
    return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
}

INLINE void add_step(__m256i *part, __m256i w, __m256i x, const enum jm_pack_kind kind)
{
    *part = _mm256_add_epi16(*part, products(w, x, kind));
}

INLINE __m256i weighted(__m256i part, const uint8_t *factor, const enum jm_pack_kind kind)
{
    return _mm256_madd_epi16(part, kind == JM_PACK_Q6K ? factor_of(factor) : _mm256_set1_epi16(1));
}

/* How many steps fit in 16 bits together: of four bits a step is at most 2 * 15 * 127 = 3,810. Sums
 * of Q6K begin with what the offset of 32 makes, and end within 8 * 32 * 127 < 2^15; on the way
 * they may wrap. */
INLINE int steps_in_part(const enum jm_pack_kind kind)
{
    return kind == JM_PACK_Q8 ? 1 : kind == JM_PACK_Q6K ? 4 : 8;
}

/* -32 times the sums of 16 inputs, each of those that products of one of two places take. */
INLINE __m256i q6k_start(const int8_t *q, const int32_t *sum16)
{
    (void)sum16;
    const __m128i x = _mm_loadu_si128((const __m128i *)(const void *)q);
    __m128i s = _mm_maddubs_epi16(_mm_set1_epi8(1), x);
    s = _mm_add_epi16(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi16(s, _mm_shuffle_epi32(s, 0xb1));
    return _mm256_broadcastsi128_si256(_mm_mullo_epi16(s, _mm_set1_epi16(-32)));
}
#endif

/* Adds to acc[r * G + j] the products of R rows with steps [from, to) of a block of G groups; of
 * Q6K start[r] too, and all times the group's factor. q: the first row's integers of the block;
 * ld: bytes to the next row. */
INLINE void dot_side(__m256i *acc, const struct side *s, const int8_t *q, size_t ld, const int from,
                     const int to, const __m256i *start, const uint8_t *factor, const int R,
                     const int G, const enum jm_pack_kind kind)
{
    const int together = steps_in_part(kind);
#pragma GCC unroll 8
    for (int i = from; i < to; i += together) {
        __m256i part[SIDE];
#pragma GCC unroll 4
        for (int k = 0; k < R * G; k++)
            part[k] = kind == JM_PACK_Q6K ? start[k / G] : _mm256_setzero_si256();
#pragma GCC unroll 8
        for (int k = i; k < i + together; k++) {
            const int step = step_at(k, kind);
            ask_line(s, k, G, kind);
#pragma GCC unroll 4
            for (int j = 0; j < G; j++) {
                const __m256i w = levels(s->levels + (size_t)j * s->each, step, kind);
#pragma GCC unroll 2
                for (int r = 0; r < R; r++) {
                    add_step(&part[r * G + j], w, same_four(q + (size_t)r * ld + 4 * step), kind);
                    keep(&part[r * G + j]);
                }
            }
        }
#pragma GCC unroll 4
        for (int k = 0; k < R * G; k++) {
            acc[k] = _mm256_add_epi32(acc[k],
                                      weighted(part[k], factor + (size_t)(k % G) * s->each, kind));
            keep(&acc[k]);
        }
    }
}

/* One scale for 32 inputs. */
INLINE void add_plain(__m256 *sum, const struct side *s, const struct jm_acts *x, uint32_t row,
                      uint32_t b, const int R, const int G, const enum jm_pack_kind kind)
{
    const int offset = kind == JM_PACK_Q8 ? Q8_OFFSET : 8;
    const size_t n = x->cols / BLOCK, at = row * n + b;
    __m256i acc[SIDE];
#pragma GCC unroll 4
    for (int k = 0; k < R * G; k++)
        acc[k] = _mm256_set1_epi32(-offset * x->sum[at + (size_t)(k / G) * n]);
    dot_side(acc, s, x->q + at * BLOCK, x->cols, 0, 8, NULL, s->scales, R, G, kind);
#pragma GCC unroll 4
    for (int k = 0; k < R * G; k++) {
        const __m256 d = halves_to_ps(s->scales + (size_t)(k % G) * s->each),
                     dx = _mm256_set1_ps(x->d[at + (size_t)(k / G) * n]);
        sum[k] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(acc[k]), _mm256_mul_ps(d, dx), sum[k]);
    }
}

/* w = d scale q - dmin offset: sum += d scale dx (q . x) - dmin offset (dx sum of x) */
INLINE void add_q4k(__m256 *sum, const struct side *s, const struct jm_acts *x, uint32_t row,
                    uint32_t b, const int R, const int G)
{
    const size_t n = x->cols / BLOCK, at = row * n + b;
    __m256i acc[SIDE];
#pragma GCC unroll 4
    for (int k = 0; k < R * G; k++)
        acc[k] = _mm256_setzero_si256();
    dot_side(acc, s, x->q + at * BLOCK, x->cols, 0, 8, NULL, s->scales, R, G, JM_PACK_Q4K);
#pragma GCC unroll 4
    for (int k = 0; k < R * G; k++) {
        const uint8_t *of = s->scales + (size_t)(k % G) * s->each;
        const size_t r = at + (size_t)(k / G) * n;
        const __m256 scale = _mm256_mul_ps(halves_to_ps(of), bytes_to_ps(of + (4 + b % 8) * LANES)),
                     offset = _mm256_mul_ps(halves_to_ps(of + 2 * LANES),
                                            bytes_to_ps(of + (12 + b % 8) * LANES));
        sum[k] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(acc[k]),
                                 _mm256_mul_ps(scale, _mm256_set1_ps(x->d[r])), sum[k]);
        sum[k] = _mm256_fnmadd_ps(offset, _mm256_set1_ps(x->dsum[r]), sum[k]);
    }
}

/* w = d scale (q - 32), with a scale for each 16 inputs: see block_q6k in panel_tile.h. */
INLINE void add_q6k(__m256 *sum, const struct side *s, const struct jm_acts *x, uint32_t row,
                    uint32_t b, const int R, const int G)
{
    const size_t n = x->cols / BLOCK, at = row * n + b;
    __m256i acc[SIDE], start[2];
#pragma GCC unroll 4
    for (int k = 0; k < R * G; k++)
        acc[k] = _mm256_setzero_si256();
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        const uint8_t *factor = s->scales + (2 + b % 8 * 2 + (uint32_t)half) * LANES;
#pragma GCC unroll 2
        for (int r = 0; r < R; r++) {
            const size_t of = 2 * (at + (size_t)r * n) + (size_t)half;
            start[r] = q6k_start(x->q + 16 * of, x->sum16 + of);
        }
        dot_side(acc, s, x->q + at * BLOCK, x->cols, 4 * half, 4 * half + 4, start, factor, R, G,
                 JM_PACK_Q6K);
    }
#pragma GCC unroll 4
    for (int k = 0; k < R * G; k++) {
        const __m256 d = halves_to_ps(s->scales + (size_t)(k % G) * s->each),
                     dx = _mm256_set1_ps(x->d[at + (size_t)(k / G) * n]);
        sum[k] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(acc[k]), _mm256_mul_ps(d, dx), sum[k]);
    }
}

/* Asks for n bytes from `ask` on in each of G streams. */
INLINE void ask_bytes(const uint8_t *ask, size_t each, size_t n, const int G)
{
#pragma GCC unroll 4
    for (int j = 0; j < G; j++)
        for (size_t i = 0; i < n; i += LINE)
            _mm_prefetch((const char *)ask + (size_t)j * each + i, _MM_HINT_T0);
}

/* R rows from `row` on by G groups, g, g + apart, ... ldy: columns of y. Behind a group lies what
 * its stream reads next. */
INLINE void tile_side(const struct jm_packed *w, const struct jm_acts *x, uint32_t row, float *y,
                      size_t ldy, uint32_t g, uint32_t apart, const int R, const int G,
                      const enum jm_pack_kind kind)
{
    const uint32_t n = x->cols / BLOCK, per = kind >= JM_PACK_Q4K ? 8 : 1; /* blocks with scales */
    const size_t block = LANES * BLOCK * (size_t)bits_of(kind) / 8,
                 scale_bytes = LANES * (kind == JM_PACK_Q4K   ? 20u
                                        : kind == JM_PACK_Q6K ? 18u
                                                              : 2u);
    struct side s = { .each = apart * w->group_bytes };
    const uint8_t *p = w->data + g * w->group_bytes;
    __m256 sum[SIDE];
#pragma GCC unroll 4
    for (int k = 0; k < R * G; k++)
        sum[k] = _mm256_setzero_ps();
    for (uint32_t from = 0, to; from < n; from = to) {
        to = n - from < PIECE / BLOCK ? n : from + PIECE / BLOCK;
        s.levels = p + (to - from) / per * scale_bytes;
        for (uint32_t b = from; b < to; b++, s.levels += block) {
            s.scales = p + (b - from) / per * scale_bytes;
            s.ask = s.levels + AHEAD;
            if (kind == JM_PACK_Q4K)
                add_q4k(sum, &s, x, row, b, R, G);
            else if (kind == JM_PACK_Q6K)
                add_q6k(sum, &s, x, row, b, R, G);
            else
                add_plain(sum, &s, x, row, b, R, G, kind);
        }
        p = s.levels;
        ask_bytes(p + AHEAD, s.each, PIECE / BLOCK / per * scale_bytes, G); /* the next scales */
    }
#pragma GCC unroll 4
    for (int k = 0; k < R * G; k++) {
        const uint32_t o = (g + (uint32_t)(k % G) * apart) * LANES;
        store(y + (size_t)(row + (uint32_t)(k / G)) * ldy + o, sum[k], w->t.rows - o);
    }
}

/* One to FEW_ROWS rows. */
INLINE void linear_few(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                       float *y, size_t ldy, uint32_t g0, uint32_t g1, const enum jm_pack_kind kind)
{
    const uint32_t apart = (g1 - g0) / SIDE;
    for (uint32_t g = g0; g < g0 + apart; g++) {
        uint32_t r = 0;
        for (; r + 2 <= n_rows; r += 2) {
            tile_side(w, x, r, y, ldy, g, apart, 2, SIDE / 2, kind);
            tile_side(w, x, r, y, ldy, g + SIDE / 2 * apart, apart, 2, SIDE / 2, kind);
        }
        for (; r < n_rows; r++)
            tile_side(w, x, r, y, ldy, g, apart, 1, SIDE, kind);
    }
    for (uint32_t g = g0 + SIDE * apart; g < g1; g++) {
        for (uint32_t r = 0; r < n_rows; r++)
            tile_side(w, x, r, y, ldy, g, 1, 1, 1, kind);
    }
}

#endif
