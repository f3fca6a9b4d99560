/* SPDX-License-Identifier: Apache-2.0 */
/* STQ1_0 at the 1.3 bits a weight of its file. Of the five bits of a group (pack.h) no two weights
 * need more than four, so that one VPSHUFB looks up one of them for 32 groups, and of three codes
 * in five, to mask the others off is all that it takes.
 *
 * Floats are added block after block, as the tiles of several rows add them: a row gets the same
 * result alone and among others. */
#ifndef JM_BACKENDS_CPU_AVX2_STQ_H
#define JM_BACKENDS_CPU_AVX2_STQ_H

#include "backends/cpu/avx2/levels.h"

enum {
    STQ_SUPER = 256, /* inputs with one scale */
    STQ_HALF = 64,   /* inputs of four vectors of codes */
    STQ_SPAN = 128,
    STQ_SPAN_BYTES = 5 * 32,
    STQ_HALF_BYTES = (STQ_SPAN_BYTES + LANES) / 2, /* of a group, with its scales */
    STQ_SIDE = 2,                                  /* rows by groups at once */
};

INLINE __m256i shifted(const uint8_t *p, const int right, const char mask)
{
    return _mm256_and_si256(_mm256_srli_epi16(load(p), right), _mm256_set1_epi8(mask));
}

/* Of vector u of the codes of 128 inputs, where a table finds the first two weights of a group: its
 * bits 2, 3 and 4 as bits 1, 2 and 3. What is in bit 0 is noise. */
INLINE __m256i first_two(const uint8_t *p, const int u)
{
    if (u < 5)
        return shifted(p + 32 * u, 1, 15);
    if (u < 7)
        return _mm256_or_si256(shifted(p + 64 * (u - 5), 6, 3),
                               shifted(p + 64 * (u - 5) + 32, 3, 12));
    return _mm256_or_si256(shifted(p + 128, 6, 3),
                           _mm256_or_si256(shifted(p + 32, 5, 4), shifted(p + 96, 4, 8)));
}

/* And the last two: its bits 0, 1 and 2. What is in bit 3 is noise. */
INLINE __m256i last_two(const uint8_t *p, const int u)
{
    if (u < 5)
        return _mm256_and_si256(load(p + 32 * u), _mm256_set1_epi8(15));
    return shifted(p + 64 * (u - 5), 5, 7);
}

/* Weight + 1 of each place in a group. */
INLINE void make_tables(__m256i table[4])
{
    static const uint8_t of[4][16] = { { 0, 0, 1, 1, 2, 2, 0, 0, 0, 0, 1, 1, 2, 2, 2, 2 },
                                       { 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 2, 2, 2, 1, 1 },
                                       { 1, 0, 1, 2, 0, 2, 0, 2, 1, 0, 1, 2, 0, 2, 0, 2 },
                                       { 0, 1, 2, 1, 0, 0, 2, 2, 0, 1, 2, 1, 0, 0, 2, 2 } };
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        table[i] =
            _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)of[i]));
}

/* part[b * STQ_SIDE + k] = the products of block b, 0 or 1, of 64 inputs, half a span, of R rows by
 * G groups, k = r * G + j. p: codes of the first group; each: bytes to the next one; q: the first
 * row's integers; ld: bytes to the next row. */
INLINE void dot_half(__m256i *part, const uint8_t *p, size_t each, const int half, const int8_t *q,
                     size_t ld, const __m256i *table, const int R, const int G)
{
#pragma GCC unroll 4
    for (int k = 0; k < 2 * STQ_SIDE; k++)
        part[k] = _mm256_setzero_si256();
#pragma GCC unroll 4
    for (int u = 0; u < 4; u++) {
        __m256i code[2][STQ_SIDE];
#pragma GCC unroll 2
        for (int j = 0; j < G; j++) {
            code[0][j] = first_two(p + (size_t)j * each, 4 * half + u);
            code[1][j] = last_two(p + (size_t)j * each, 4 * half + u);
        }
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
#pragma GCC unroll 2
            for (int k = 0; k < R * G; k++) {
                const int r = k / G, to = i / 2 * STQ_SIDE + k;
                const __m256i w = _mm256_shuffle_epi8(table[i], code[i / 2][k % G]);
                part[to] =
                    add_products(part[to], w, same_four(q + (size_t)r * ld + 16 * i + 4 * u), 0);
            }
        }
    }
}

/* sum[k] += a block's products: of weights, where part has them of weights + 1. d: of each group.
 */
INLINE void add_block(__m256 *sum, const __m256i *part, const __m256 *d, const struct jm_acts *x,
                      size_t block, const int R, const int G)
{
#pragma GCC unroll 2
    for (int k = 0; k < R * G; k++) {
        const size_t at = block + (size_t)(k / G) * (x->cols / BLOCK);
        const __m256i total = _mm256_sub_epi32(widened(part[k]), _mm256_set1_epi32(x->sum[at]));
        sum[k] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(total),
                                 _mm256_mul_ps(d[k % G], _mm256_set1_ps(x->d[at])), sum[k]);
    }
}

/* R rows from `row` on by G groups from g on; the G groups behind them are asked for meanwhile. */
INLINE void tile_stq(const struct jm_packed *w, const struct jm_acts *x, uint32_t row, float *y,
                     size_t ldy, uint32_t g, const int R, const int G)
{
    const size_t each = w->group_bytes;
    const uint8_t *p = w->data + g * each, *scales = p, *ask = p + (size_t)G * each;
    const size_t first = row * (size_t)(x->cols / BLOCK);
    const int8_t *q = x->q + first * BLOCK;
    __m256i table[4], part[2 * STQ_SIDE];
    __m256 sum[STQ_SIDE], d[STQ_SIDE];
    make_tables(table);
#pragma GCC unroll 2
    for (int k = 0; k < R * G; k++)
        sum[k] = _mm256_setzero_ps();
    for (uint32_t at = 0; at < x->cols; p += STQ_SPAN_BYTES) {
        if (at % PIECE == 0) {
            const uint32_t left = x->cols - at;
            scales = p;
            p += (left < PIECE ? left : PIECE) / STQ_SUPER * (2 * LANES);
        }
#pragma GCC unroll 2
        for (int j = 0; j < G; j++)
            d[j] = halves_to_ps(scales + at % PIECE / STQ_SUPER * (2 * LANES) + (size_t)j * each);
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++, at += STQ_HALF) {
            const size_t block = first + at / BLOCK;
#pragma GCC unroll 3
            for (int i = 0; i < G * STQ_HALF_BYTES; i += LINE, ask += LINE)
                _mm_prefetch((const char *)ask, _MM_HINT_T0);
            dot_half(part, p, each, half, q + at, x->cols, table, R, G);
            add_block(sum, part, d, x, block, R, G);
            add_block(sum, part + STQ_SIDE, d, x, block + 1, R, G);
        }
    }
#pragma GCC unroll 2
    for (int k = 0; k < R * G; k++) {
        const uint32_t o = (g + (uint32_t)(k % G)) * LANES;
        store(y + (size_t)(row + (uint32_t)(k / G)) * ldy + o, sum[k], w->t.rows - o);
    }
}

/* A few rows. */
INLINE void linear_few_stq(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                           float *y, size_t ldy, uint32_t g0, uint32_t g1)
{
    uint32_t g = g0;
    for (; n_rows == 1 && g + STQ_SIDE <= g1; g += STQ_SIDE)
        tile_stq(w, x, 0, y, ldy, g, 1, STQ_SIDE);
    for (; g < g1; g++) {
        uint32_t r = 0;
        for (; r + STQ_SIDE <= n_rows; r += STQ_SIDE)
            tile_stq(w, x, r, y, ldy, g, STQ_SIDE, 1);
        for (; r < n_rows; r++)
            tile_stq(w, x, r, y, ldy, g, 1, 1);
    }
}

/* Weights + 1 of 128 inputs as bytes, [block][step][8][4]: see panel.h. to: of four blocks `ld`
 * bytes apart. */
INLINE void unpack_span(const uint8_t *p, uint8_t *to, size_t ld)
{
    __m256i table[4];
    make_tables(table);
#pragma GCC unroll 8
    for (int u = 0; u < 8; u++) {
        const __m256i code[2] = { first_two(p, u), last_two(p, u) };
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            _mm256_storeu_si256((__m256i *)(void *)(to + (size_t)(u / 4 * 2 + i / 2) * ld +
                                                    32 * (i % 2 * 4 + u % 4)),
                                _mm256_shuffle_epi8(table[i], code[i / 2]));
    }
}

#endif
