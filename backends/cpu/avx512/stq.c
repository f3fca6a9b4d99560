/* SPDX-License-Identifier: Apache-2.0 */
/* STQ1_0 at the 1.3 bits a weight of its file, with AVX-512 VBMI: one VPERMB looks up one input of
 * 64 groups of four, for 16 outputs. A table has 64 bytes and ignores the upper bits of an index,
 * and is the same in both halves: so codes of five bits need no masks (the layout: pack.h).
 *
 * Sums of integers are exact, and floats are added in the order of the inputs whatever the tile: a
 * row gets the same result alone and among others. */
#include <immintrin.h>

#include "backends/cpu/avx512/lanes.h"
#include "backends/cpu/avx512/panel.h"
#include "backends/cpu/kernels.h"
#include "backends/format_codecs.h"

enum {
    PASS_ROWS = 16,
    BLOCK_BYTES = BLOCK + 8, /* of one row in a panel */
    SPAN_BYTES = 5 * 64,     /* of the codes of 128 inputs */
};

/* Of each code: the field, weight + 1, of input k + 16 p of its group. */
INLINE void make_tables(__m512i table[4])
{
    const __m256i half = _mm256_loadu_si256((const __m256i *)(const void *)jm_stq1_0_patterns);
    const __m512i both = _mm512_broadcast_i64x4(half), three = _mm512_set1_epi8(3);
    table[0] = _mm512_and_si512(both, three);
    table[1] = _mm512_and_si512(_mm512_srli_epi16(both, 2), three);
    table[2] = _mm512_and_si512(_mm512_srli_epi16(both, 4), three);
    table[3] = _mm512_and_si512(_mm512_srli_epi16(both, 6), three);
}

/* Bits of a where mask has them, else of b. */
INLINE __m512i choose(const char mask, __m512i a, __m512i b)
{
    return _mm512_ternarylogic_epi32(_mm512_set1_epi8(mask), a, b, 0xca);
}

/* The codes of 64 inputs, the first or second of 128 at p, in the low five bits of four vectors;
 * what lies above is noise. */
INLINE void codes_of(const uint8_t *p, const int second, __m512i code[4])
{
    __m512i v[5];
    UNROLL(5)
    for (int i = 0; i < 5; i++)
        v[i] = _mm512_loadu_si512(p + 64 * i);
    UNROLL(4)
    for (int i = 0; i < 4; i++)
        code[i] = v[i];
    if (!second)
        return;
    code[0] = v[4];
    code[1] = choose(7, _mm512_srli_epi16(v[0], 5), _mm512_srli_epi16(v[1], 2));
    code[2] = choose(7, _mm512_srli_epi16(v[2], 5), _mm512_srli_epi16(v[3], 2));
    code[3] = choose(8, _mm512_srli_epi16(v[1], 4), _mm512_srli_epi16(v[3], 3));
    code[3] = choose(7, _mm512_srli_epi16(v[4], 5), code[3]);
}

/* A panel has the activations of R rows in the order of their use, so that one pointer serves all:
 * [cols / 32] of: s8 [32 / 4][R][4], f32 d [R], s32 -sum [R]: since levels are
 * weights + 1, a sum begins with that. */
static void make_panel(uint8_t *panel, const struct jm_acts *x, uint32_t row, uint32_t rows)
{
    const size_t blocks = x->cols / BLOCK, ld = 4 * (size_t)rows;
    for (size_t r = 0; r < rows; r++) {
        const int8_t *q = x->q + (row + r) * x->cols;
        const size_t at = (row + r) * blocks;
        for (size_t b = 0; b < blocks; b++) {
            uint8_t *to = panel + b * BLOCK_BYTES * rows + 4 * r;
            for (size_t i = 0; i < BLOCK / 4; i++)
                __builtin_memcpy(to + i * ld, q + b * BLOCK + 4 * i, 4);
            __builtin_memcpy(to + 8 * ld, x->d + at + b, 4);
            const int32_t start = -x->sum[at + b];
            __builtin_memcpy(to + 9 * ld, &start, 4);
        }
    }
}

/* part[r * G + j] += B blocks of 32 inputs, from block `first` on of the 64 whose codes are given
 * for G groups. x: the panel there. */
INLINE void add_blocks(__m512 *part, const __m512i *code, const __m512i *table, const int first,
                       const uint8_t *x, const int R, const int G, const int B)
{
    __m512i acc[8];
    UNROLL(8)
    for (int i = 0; i < R * G * B; i++) {
        const int b = i / (R * G), r = i / G % R;
        acc[i] = word_at(x + (b * BLOCK_BYTES + BLOCK + 4) * R + 4 * r);
    }
    UNROLL(8)
    for (int i = 0; i < 8; i++) {
        UNROLL(2)
        for (int b = 0; b < B; b++) {
            __m512i v[2];
            UNROLL(2)
            for (int j = 0; j < G; j++)
                v[j] = _mm512_permutexvar_epi8(code[j * 4 + i % 4], table[(first + b) * 2 + i / 4]);
            UNROLL(4)
            for (int r = 0; r < R; r++) {
                const __m512i four = word_at(x + (b * BLOCK_BYTES + 4 * i) * R + 4 * r);
                UNROLL(2)
                for (int j = 0; j < G; j++) {
                    const int at = (b * R + r) * G + j;
                    acc[at] = _mm512_dpbusd_epi32(acc[at], v[j], four);
                }
            }
        }
    }
    UNROLL(8)
    for (int i = 0; i < R * G * B; i++) {
        const int b = i / (R * G), r = i / G % R;
        const __m512 d = _mm512_castsi512_ps(word_at(x + (b * BLOCK_BYTES + BLOCK) * R + 4 * r));
        part[i % (R * G)] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[i]), d, part[i % (R * G)]);
    }
}

/* R rows by G groups from g on. ldy: columns of y. */
INLINE void tile(const struct jm_packed *w, const uint8_t *x, float *y, size_t ldy, uint32_t g,
                 const __m512i *table, const int R, const int G)
{
    const int B = R < 4 ? 2 : 1;
    const uint8_t *p = w->data + g * w->group_bytes, *d = p + w->scales;
    const uint8_t *next = p + (size_t)G * w->group_bytes;
    __m512 sum[8];
    UNROLL(8)
    for (int i = 0; i < R * G; i++)
        sum[i] = _mm512_setzero_ps();
    for (uint32_t k = 0; k < w->t.cols; k += 256, d += 2 * LANES) {
        __m512 part[8];
        UNROLL(8)
        for (int i = 0; i < R * G; i++)
            part[i] = _mm512_setzero_ps();
        UNROLL(4)
        for (int c = 0; c < 4; c++) {
            __m512i code[8];
            UNROLL(2)
            for (int j = 0; j < G; j++)
                codes_of(p + (size_t)j * w->group_bytes + c / 2 * SPAN_BYTES, c % 2, code + 4 * j);
            UNROLL(5)
            for (int i = 0; i < 5 * G / 2; i++, next += 64)
                _mm_prefetch((const char *)next, _MM_HINT_T0);
            UNROLL(2)
            for (int b = 0; b < 2; b += B, x += B * BLOCK_BYTES * R)
                add_blocks(part, code, table, b, x, R, G, B);
        }
        p += 2 * SPAN_BYTES;
        UNROLL(8)
        for (int i = 0; i < R * G; i++) {
            const uint8_t *dj = d + (size_t)(i % G) * w->group_bytes;
            const __m512 dw =
                _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)dj));
            sum[i] = _mm512_fmadd_ps(part[i], dw, sum[i]);
        }
    }
    UNROLL(8)
    for (int i = 0; i < R * G; i++) {
        const uint32_t o = (g + (uint32_t)(i % G)) * LANES, left = w->t.rows - o;
        const __mmask16 m = (__mmask16)(left >= LANES ? 0xffffu : (1u << left) - 1u);
        _mm512_mask_storeu_ps(y + (size_t)(i / G) * ldy + o, m, sum[i]);
    }
}

/* As many rows of `left` as a panel takes. */
static uint32_t panel_rows(uint32_t left)
{
    return left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

/* G groups for rows in panels: their weights come from memory once, then from the nearest cache. */
INLINE void rows_of_groups(const struct jm_packed *w, const uint8_t *x, uint32_t n_rows, float *y,
                           size_t ldy, uint32_t g, const __m512i *table, const int G)
{
    const size_t row_bytes = w->t.cols / BLOCK * BLOCK_BYTES;
    for (uint32_t r = 0, n; r < n_rows; r += n, x += n * row_bytes, y += n * ldy) {
        n = panel_rows(n_rows - r);
        if (n == 4)
            tile(w, x, y, ldy, g, table, 4, G);
        else if (n == 2)
            tile(w, x, y, ldy, g, table, 2, G);
        else
            tile(w, x, y, ldy, g, table, 1, G);
    }
}

/* For jm_avx512_panels: all levels of two groups, as bytes. */
static void unpack(const struct jm_packed *w, uint32_t g, struct jm_slice s, struct jm_panel *out)
{
    __m512i table[4], code[4];
    uint8_t *to = out->own;
    make_tables(table);
    out->levels = to;
    out->ld = (size_t)s.cols * LANES;
    for (uint32_t j = 0; j < JM_PANEL_GROUPS; j++) {
        const uint8_t *p = w->data + (g + j) * w->group_bytes, *d = p + w->scales;
        float *scale = out->scales + j * LANES;
        p += s.from / 128 * SPAN_BYTES;
        d += s.from / 256 * (2 * LANES);
        for (uint32_t c = 0; c < s.cols / 64; c++, to += 16 * 64) {
            codes_of(p + c / 2 * SPAN_BYTES, c % 2, code);
            UNROLL(16)
            for (int i = 0; i < 16; i++)
                _mm512_storeu_si512(to + 64 * i,
                                    _mm512_permutexvar_epi8(code[i % 4], table[i / 4]));
        }
        for (uint32_t k = 0; k < s.cols / 256; k++, d += 2 * LANES)
            _mm512_storeu_ps(scale + k * JM_PANEL_GROUPS * LANES, halves_to_ps(d));
    }
}

void jm_avx512_linear_stq(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                          float *y, size_t ldy, uint32_t g0, uint32_t g1, float *scratch)
{
    const size_t row_bytes = w->t.cols / BLOCK * BLOCK_BYTES;
    uint8_t *panels = (uint8_t *)scratch;
    g0 = jm_avx512_panels(w, x, n_rows, y, ldy, g0, g1, scratch, unpack);
    __m512i table[4];
    make_tables(table);
    for (uint32_t r = 0; r < n_rows; r += PASS_ROWS) {
        const uint32_t rows = n_rows - r < PASS_ROWS ? n_rows - r : PASS_ROWS;
        float *to = y + r * ldy;
        for (uint32_t i = 0, n; i < rows; i += n) {
            n = panel_rows(rows - i);
            make_panel(panels + i * row_bytes, x, r + i, n);
        }
        uint32_t g = g0;
        for (; g + 2 <= g1; g += 2)
            rows_of_groups(w, panels, rows, to, ldy, g, table, 2);
        for (; g < g1; g++)
            rows_of_groups(w, panels, rows, to, ldy, g, table, 1);
    }
}

_Static_assert(PASS_ROWS *BLOCK_BYTES <= JM_COLUMN_SCRATCH * 4 * BLOCK, "panels fit in scratch");
