/* SPDX-License-Identifier: Apache-2.0 */
/* STQ1_0 at the 1.3 bits a weight of its file, for one row or a few: no products, but tables of all
 * that four inputs can add up to (pack.h). One VPSHUFB looks up a sum for 32 outputs. The idea is
 * that of T-MAC (Wei et al. 2024, arXiv:2407.00088); here nothing is lost: a sum of three inputs of
 * eight bits is at most 381 = 31 * 12 + 9, and so is looked up as two digits to the base of 31,
 * from -15 to 15 and from -12 to 12, of which eight still add up in a byte.
 *
 * Floats are added 64 inputs after 64, as the tiles of several rows add them: a row gets the same
 * result alone and among others. */
#ifndef JM_BACKENDS_CPU_AVX2_STQ_H
#define JM_BACKENDS_CPU_AVX2_STQ_H

#include "backends/cpu/avx2/levels.h"

enum {
    STQ_SPAN = 64, /* inputs of ten vectors of codes, and with one scale of activations */
    STQ_SPAN_BYTES = 10 * 32,
    STQ_SIGNS = 8 * 32,                           /* where the fifth bits of codes lie */
    STQ_SCALE_BYTES = JM_SUMS_GROUP * 2,          /* of 256 inputs */
    STQ_PARTS = JM_SUMS_GROUP / LANES,            /* vectors of floats, one value an output */
    STQ_TABLE = JM_TABLE_BYTES / JM_TABLE_INPUTS, /* bytes an input */
    STQ_SIDE = 2,                                 /* rows by groups at once */
    DIGITS = 31,
};

/* The same 16 bytes in both lanes. */
INLINE __m256i twice(const void *p)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(p));
}

/* ---- tables ---- */

/* Weights by the low four bits of a code. */
INLINE const int8_t *sums_weights(void)
{
    static const int8_t w[16][4] = { { -1, 1, 0, -1 }, { -1, 1, -1, 0 }, { -1, 1, 0, 1 },
                                     { -1, 1, 1, 0 },  { 0, 1, -1, -1 }, { 0, 1, 1, -1 },
                                     { 0, 1, -1, 1 },  { 0, 1, 1, 1 },   { 1, 1, 0, -1 },
                                     { 1, 1, -1, 0 },  { 1, 1, 0, 1 },   { 1, 1, 1, 0 },
                                     { 1, 0, -1, -1 }, { 1, 0, 1, -1 },  { 1, 0, -1, 1 },
                                     { 1, 0, 1, 1 } };
    return w[0];
}

/* Words of the inputs c + 16 p, p = 0..3, of 64. */
INLINE void words_of(const int8_t *q, int32_t word[16])
{
    __m128i in[4];
#pragma GCC unroll 4
    for (int p = 0; p < 4; p++)
        in[p] = _mm_loadu_si128((const __m128i *)(const void *)(q + 16 * p));
    const __m128i low[2] = { _mm_unpacklo_epi8(in[0], in[1]), _mm_unpacklo_epi8(in[2], in[3]) },
                  high[2] = { _mm_unpackhi_epi8(in[0], in[1]), _mm_unpackhi_epi8(in[2], in[3]) };
    __m128i *to = (__m128i *)(void *)word;
    _mm_storeu_si128(to + 0, _mm_unpacklo_epi16(low[0], low[1]));
    _mm_storeu_si128(to + 1, _mm_unpackhi_epi16(low[0], low[1]));
    _mm_storeu_si128(to + 2, _mm_unpacklo_epi16(high[0], high[1]));
    _mm_storeu_si128(to + 3, _mm_unpackhi_epi16(high[0], high[1]));
}

/* Sums of a word's inputs, each times one of eight fours of weights: s32 [8]. */
INLINE __m256i eight_sums(int32_t word, __m256i weights)
{
    const __m256i in = _mm256_sign_epi8(_mm256_set1_epi32(word), weights);
    return _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), in), _mm256_set1_epi16(1));
}

/* See jm_tables_fn. 1057 / 2^15 is 1 / 31 near enough for the nearest integer: over 31, no sum is
 * nearer to the middle between two than half a 31st. */
INLINE void make_tables(const int8_t *q, uint32_t cols, uint8_t *to)
{
    const __m256i first = load((const uint8_t *)sums_weights()),
                  last = load((const uint8_t *)sums_weights() + 32),
                  a = _mm256_permute2x128_si256(first, last, 0x20), /* as VPACKSSDW joins them */
        b = _mm256_permute2x128_si256(first, last, 0x31);
    for (uint32_t at = 0; at < cols; at += STQ_SPAN, to += STQ_SPAN * STQ_TABLE) {
        int32_t word[16];
        words_of(q + at, word);
        for (int c = 0; c < 16; c++) {
            const __m256i sums = _mm256_packs_epi32(eight_sums(word[c], a), eight_sums(word[c], b)),
                          high = _mm256_mulhrs_epi16(sums, _mm256_set1_epi16(1057)),
                          low = _mm256_sub_epi16(
                              sums, _mm256_mullo_epi16(high, _mm256_set1_epi16(DIGITS)));
            _mm256_storeu_si256((__m256i *)(void *)(to + JM_TABLE_BYTES * c),
                                _mm256_permute4x64_epi64(_mm256_packs_epi16(low, high), 0xd8));
        }
    }
}

/* ---- a few rows ---- */

/* Low four bits of code c of 64 inputs. */
INLINE __m256i low_bits(const uint8_t *p, const int c)
{
    return four_bits(load(p + c % 8 * 32), c / 8);
}

/* Negative where it turns the signs, else positive. */
INLINE __m256i sign_of(const uint8_t *p, const int c)
{
    return _mm256_or_si256(_mm256_slli_epi16(load(p + STQ_SIGNS + c / 8 * 32), 7 - c % 8),
                           _mm256_set1_epi8(1));
}

/* total[k][i] = the sums of 64 inputs, k = r * G + j of R rows by G groups: s16, of outputs 0 to 7
 * and 16 to 23 for i = 0, else the others. p: codes of the first group; each: bytes to the next
 * one; table: of the first row; next: bytes to the next row's. */
INLINE void add_up(__m256i total[STQ_SIDE][2], const uint8_t *p, size_t each, const uint8_t *table,
                   size_t next, const int R, const int G)
{
    const __m256i digits = _mm256_set1_epi16(DIGITS << 8 | 1);
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        __m256i low[STQ_SIDE], high[STQ_SIDE];
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            const int c = 8 * half + i;
#pragma GCC unroll 2
            for (int k = 0; k < R * G; k++) {
                const uint8_t *t = table + (size_t)(k / G) * next + JM_TABLE_BYTES * c,
                              *code = p + (size_t)(k % G) * each;
                const __m256i at = low_bits(code, c), sign = sign_of(code, c),
                              l = _mm256_sign_epi8(_mm256_shuffle_epi8(twice(t), at), sign),
                              h = _mm256_sign_epi8(_mm256_shuffle_epi8(twice(t + 16), at), sign);
                low[k] = i ? _mm256_add_epi8(low[k], l) : l;
                high[k] = i ? _mm256_add_epi8(high[k], h) : h;
                __asm__("" : "+x"(low[k]), "+x"(high[k])); /* in this order: see add_products */
            }
        }
#pragma GCC unroll 2
        for (int k = 0; k < R * G; k++) {
            const __m256i a = _mm256_maddubs_epi16(digits, _mm256_unpacklo_epi8(low[k], high[k])),
                          b = _mm256_maddubs_epi16(digits, _mm256_unpackhi_epi8(low[k], high[k]));
            total[k][0] = half ? _mm256_add_epi16(total[k][0], a) : a;
            total[k][1] = half ? _mm256_add_epi16(total[k][1], b) : b;
        }
    }
}

/* Part i of sums that add_up made. */
INLINE __m256 part_of(const __m256i total[2], const int i)
{
    const __m128i of =
        i / 2 ? _mm256_extracti128_si256(total[i % 2], 1) : _mm256_castsi256_si128(total[i % 2]);
    return _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(of));
}

/* sum += d dx total. d: f16 [32] of the first group; each: bytes to the next one's; dx: of the
 * first row; n: to the next row's. */
INLINE void add_scaled_parts(__m256 *sum, __m256i total[STQ_SIDE][2], const uint8_t *d, size_t each,
                             const float *dx, size_t n, const int R, const int G)
{
#pragma GCC unroll 8
    for (int i = 0; i < R * G * STQ_PARTS; i++) {
        const int k = i / STQ_PARTS, part = i % STQ_PARTS;
        const __m256 scale = halves_to_ps(d + (size_t)(k % G) * each + part * (2 * LANES)),
                     of_row = _mm256_set1_ps(dx[(size_t)(k / G) * n]);
        sum[i] = _mm256_fmadd_ps(part_of(total[k], part), _mm256_mul_ps(scale, of_row), sum[i]);
    }
}

/* R rows from `row` on by G groups from g on; the G groups behind them are asked for meanwhile.
 * table: of `row`. */
INLINE void tile_stq(const struct jm_packed *w, const struct jm_acts *x, const uint8_t *table,
                     uint32_t row, float *y, size_t ldy, uint32_t g, const int R, const int G)
{
    const size_t each = w->group_bytes, next = (size_t)x->cols * STQ_TABLE, n = x->cols / BLOCK;
    const uint8_t *p = w->data + g * each, *scales = p;
    __m256 sum[STQ_SIDE * STQ_PARTS];
#pragma GCC unroll 8
    for (int i = 0; i < R * G * STQ_PARTS; i++)
        sum[i] = _mm256_setzero_ps();
    for (uint32_t at = 0; at < x->cols; at += STQ_SPAN, p += STQ_SPAN_BYTES) {
        const size_t block = row * n + at / BLOCK;
        __m256i total[STQ_SIDE][2];
        if (at % PIECE == 0) {
            const uint32_t left = x->cols - at;
            scales = p;
            p += (left < PIECE ? left : PIECE) / SUPER * STQ_SCALE_BYTES;
        }
#pragma GCC unroll 2
        for (int j = 0; j < G; j++)
            for (int i = 0; i < STQ_SPAN_BYTES; i += LINE)
                _mm_prefetch((const char *)p + (size_t)(G + j) * each + i, _MM_HINT_T0);
        add_up(total, p, each, table + (size_t)at * STQ_TABLE, next, R, G);
        add_scaled_parts(sum, total, scales + at % PIECE / SUPER * STQ_SCALE_BYTES, each,
                         x->d + block, n, R, G);
    }
#pragma GCC unroll 8
    for (int i = 0; i < R * G * STQ_PARTS; i++) {
        const uint32_t r = row + (uint32_t)(i / STQ_PARTS / G),
                       o = (g + (uint32_t)(i / STQ_PARTS % G)) * JM_SUMS_GROUP +
                           (uint32_t)(i % STQ_PARTS) * LANES;
        if (o < w->t.rows)
            store(y + (size_t)r * ldy + o, sum[i], w->t.rows - o);
    }
}

/* Up to JM_TABLE_ROWS rows. room: for their tables, when the activations come without. */
INLINE void linear_few_stq(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                           float *y, size_t ldy, uint32_t g0, uint32_t g1, uint8_t *room)
{
    const size_t next = (size_t)x->cols * STQ_TABLE;
    const uint8_t *table = x->table ? x->table : room;
    uint32_t g = g0;
    for (uint32_t r = 0; !x->table && r < n_rows; r++)
        make_tables(x->q + (size_t)r * x->cols, x->cols, room + r * next);
    for (; n_rows == 1 && g + STQ_SIDE <= g1; g += STQ_SIDE)
        tile_stq(w, x, table, 0, y, ldy, g, 1, STQ_SIDE);
    for (; g < g1; g++) {
        uint32_t r = 0;
        for (; r + STQ_SIDE <= n_rows; r += STQ_SIDE)
            tile_stq(w, x, table + r * next, r, y, ldy, g, STQ_SIDE, 1);
        for (; r < n_rows; r++)
            tile_stq(w, x, table + r * next, r, y, ldy, g, 1, 1);
    }
}

/* ---- panels ---- */

/* All bits where the fifth bit of code c is set, of 16 outputs in the lower lane, and of code c + 2
 * in the upper one. */
INLINE __m256i turned(__m256i signs, const int c)
{
    const __m256i bit = _mm256_set_m128i(_mm_set1_epi8((char)(1 << (c + 2) % 8)),
                                         _mm_set1_epi8((char)(1 << c % 8)));
    return _mm256_cmpeq_epi8(_mm256_and_si256(signs, bit), bit);
}

/* Where tables find the first two weights of codes c and c + 2 of 16 outputs, and the last two. */
INLINE void places_of(__m256i at[2], const uint8_t *p, __m256i signs, const int c)
{
    const uint8_t *low = p + c % 8 * 32;
    const __m256i both = _mm256_inserti128_si256(
                      _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)low)),
                      _mm_loadu_si128((const __m128i *)(const void *)(low + 64)), 1),
                  code = c / 8 ? _mm256_srli_epi16(both, 4) : both, turn = turned(signs, c);
    at[0] = _mm256_or_si256(_mm256_and_si256(code, _mm256_set1_epi8(12)),
                            _mm256_and_si256(turn, _mm256_set1_epi8(1)));
    at[1] = _mm256_or_si256(_mm256_and_si256(code, _mm256_set1_epi8(7)),
                            _mm256_and_si256(turn, _mm256_set1_epi8(8)));
}

/* Four codes of eight outputs, [code / 2][8][2], as [8][4]. */
INLINE __m256i in_fours(__m256i v)
{
    const __m256i order = _mm256_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15, 0,
                                           1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15);
    return _mm256_shuffle_epi8(_mm256_permute4x64_epi64(v, 0xd8), order);
}

/* Weights + 1 of 64 inputs of 16 outputs as bytes, [step][8][4]: see panel.h. p: codes of the first
 * output; second: from the first eight outputs to the others. */
INLINE void unpack_span(const uint8_t *p, uint8_t *to, size_t second)
{
    static const uint8_t of[4][16] = { { 0, 2, 0, 2, 1, 1, 1, 1, 2, 0, 2, 0, 2, 0, 2, 0 },
                                       { 2, 0, 2, 0, 2, 0, 2, 0, 2, 0, 2, 0, 1, 1, 1, 1 },
                                       { 1, 0, 1, 2, 0, 2, 0, 2, 1, 2, 1, 0, 2, 0, 2, 0 },
                                       { 0, 1, 2, 1, 0, 0, 2, 2, 2, 1, 0, 1, 2, 2, 0, 0 } };
#pragma GCC unroll 4
    for (int t = 0; t < 4; t++) {
        const __m256i signs = twice(p + STQ_SIGNS + t / 2 * 32);
        __m256i even[2], odd[2];
        places_of(even, p, signs, 4 * t);
        places_of(odd, p, signs, 4 * t + 1);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            const __m256i table = twice(of[i]), e = _mm256_shuffle_epi8(table, even[i / 2]),
                          o = _mm256_shuffle_epi8(table, odd[i / 2]);
            uint8_t *step = to + 32 * (4 * i + t);
            _mm256_storeu_si256((__m256i *)(void *)step, in_fours(_mm256_unpacklo_epi8(e, o)));
            _mm256_storeu_si256((__m256i *)(void *)(step + second),
                                in_fours(_mm256_unpackhi_epi8(e, o)));
        }
    }
}

#endif
