/* SPDX-License-Identifier: Apache-2.0 */
/* Four to six rows by 32 outputs: twelve sums, more than the multipliers' latency asks for.
 *
 * What bounds this is how many instructions a processor begins, loads and multiplies in a cycle,
 * and a core that others use too begins half as many. So activations lie in the order of their use,
 * and half of the rows are operands of the products (dot_word), the others are loaded once for both
 * groups: with all as operands there would be more loads than products.
 *
 * Floats are added in the order of the other kernels: a row gets the same result alone and among
 * others. */
#include "backends/cpu/avx512/panel.h"

enum { G = JM_PANEL_GROUPS, SUPER = 256, SIX = 4 * JM_TILE_MAX, SUMS = G * JM_TILE_MAX };

INLINE __m512 float_at(const uint8_t *p)
{
    return _mm512_castsi512_ps(word_at(p));
}

INLINE void load_sums(const struct jm_piece *w, __m512 *sum, const int R)
{
    UNROLL(12)
    for (int i = 0; i < R * G; i++)
        sum[i] = _mm512_setzero_ps();
    if (w->slice.from == 0)
        return;
    UNROLL(12)
    for (int i = 0; i < R * G; i++)
        sum[i] =
            _mm512_maskz_loadu_ps(w->lanes[i % G], w->y + (size_t)(i / G) * w->ldy + i % G * LANES);
}

INLINE void store_sums(const struct jm_piece *w, const __m512 *sum, const int R)
{
    UNROLL(12)
    for (int i = 0; i < R * G; i++)
        _mm512_mask_storeu_ps(w->y + (size_t)(i / G) * w->ldy + i % G * LANES, w->lanes[i % G],
                              sum[i]);
}

/* acc[r * G + j] += a word of inputs, four or two, for R rows and both groups. */
INLINE void dot_step(__m512i *acc, __m512i w0, __m512i w1, const uint8_t *x, const int R,
                     const int wide)
{
    UNROLL(6)
    for (int r = 0; r < R; r++) {
        __m512i *a = acc + r * G;
        if (r % 2) {
            a[0] = dot_word(a[0], w0, x + 4 * r, wide);
            a[1] = dot_word(a[1], w1, x + 4 * r, wide);
            continue;
        }
        const __m512i word = word_at(x + 4 * r);
        a[0] = wide ? _mm512_dpwssd_epi32(a[0], w0, word) : _mm512_dpbusd_epi32(a[0], w0, word);
        a[1] = wide ? _mm512_dpwssd_epi32(a[1], w1, word) : _mm512_dpbusd_epi32(a[1], w1, word);
    }
}

/* The same for N words. */
INLINE void dot(__m512i *acc, const uint8_t *levels, size_t ld, const uint8_t *x, const int R,
                const int N, const int wide)
{
    UNROLL(16)
    for (int i = 0; i < N; i++)
        dot_step(acc, _mm512_loadu_si512(levels + 64 * i), _mm512_loadu_si512(levels + ld + 64 * i),
                 x + SIX * i, R, wide);
}

/* The same for a block of levels of four bits. */
INLINE void dot_nibbles(__m512i *acc, const uint8_t *levels, size_t ld, const uint8_t *x,
                        const int R)
{
    UNROLL(4)
    for (int i = 0; i < 4; i++) {
        const __m512i v0 = _mm512_loadu_si512(levels + 64 * i),
                      v1 = _mm512_loadu_si512(levels + ld + 64 * i);
        dot_step(acc, run_of(v0, 0, JM_PACK_Q4), run_of(v1, 0, JM_PACK_Q4), x + SIX * i, R, 0);
        dot_step(acc, run_of(v0, 1, JM_PACK_Q4), run_of(v1, 1, JM_PACK_Q4), x + SIX * (i + 4), R,
                 0);
    }
}

/* start: s32 of each row. */
INLINE void begin(__m512i *acc, const uint8_t *start, const int R)
{
    UNROLL(6)
    for (int r = 0; r < R; r++)
        acc[r * G] = acc[r * G + 1] = word_at(start + 4 * r);
}

INLINE void begin_alike(__m512i *acc, int32_t start, const int R)
{
    UNROLL(12)
    for (int i = 0; i < R * G; i++)
        acc[i] = _mm512_set1_epi32(start);
}

/* sum += d (scale acc). scale: of both groups; d: f32 of each row. */
INLINE void add_scaled(__m512 *sum, const __m512i *acc, const float *scale, const uint8_t *d,
                       const int R, const int wide)
{
    UNROLL(12)
    for (int i = 0; i < R * G; i++) {
        const __m512 s = _mm512_loadu_ps(scale + i % G * LANES), dr = float_at(d + i / G * 4);
        sum[i] = wide ? add_wide(sum[i], acc[i], s, dr) : add_sum(sum[i], acc[i], s, dr);
    }
}

INLINE void tile_plain(struct jm_piece *w, const int R, const int wide, const int nibbles)
{
    const uint8_t *levels = w->panel.levels, *x = w->acts;
    const float *scale = w->panel.scales;
    struct ahead ahead = w->ahead;
    const int runs = wide ? 2 : 1;
    __m512 sum[SUMS];
    load_sums(w, sum, R);
    for (uint32_t b = 0; b < w->slice.cols / BLOCK; b++, scale += G * LANES) {
        __m512i acc[SUMS];
        const uint8_t *start = x + runs * JM_RUN_BYTES, *d = wide ? start : start + SIX;
        if (wide)
            begin_alike(acc, 0, R);
        else
            begin(acc, start, R);
        ask(&ahead);
        if (nibbles)
            dot_nibbles(acc, levels, w->panel.ld, x, R);
        else
            dot(acc, levels, w->panel.ld, x, R, 8 * runs, wide);
        add_scaled(sum, acc, scale, d, R, wide);
        levels += nibbles ? 256 : 512 * runs;
        x = d + SIX;
    }
    store_sums(w, sum, R);
    w->ahead = ahead;
}

INLINE void tile_narrow(struct jm_piece *w, const int R)
{
    tile_plain(w, R, 0, 0);
}

INLINE void tile_nibble(struct jm_piece *w, const int R)
{
    tile_plain(w, R, 0, 1);
}

INLINE void tile_i16(struct jm_piece *w, const int R)
{
    tile_plain(w, R, 1, 0);
}

INLINE void tile_k4(struct jm_piece *w, const int R, const int nibbles)
{
    const uint8_t *levels = w->panel.levels, *x = w->acts;
    const float *scale = w->panel.scales;
    struct ahead ahead = w->ahead;
    __m512 sum[SUMS];
    load_sums(w, sum, R);
    for (uint32_t b = 0; b < w->slice.cols / BLOCK; b++, scale += 2 * G * LANES) {
        __m512i acc[SUMS];
        const uint8_t *dsum = x + JM_RUN_BYTES, *d = dsum + SIX;
        begin_alike(acc, SUM_ZERO, R);
        ask(&ahead);
        if (nibbles)
            dot_nibbles(acc, levels, w->panel.ld, x, R);
        else
            dot(acc, levels, w->panel.ld, x, R, 8, 0);
        add_scaled(sum, acc, scale, d, R, 0);
        UNROLL(12)
        for (int i = 0; i < R * G; i++)
            sum[i] = _mm512_fnmadd_ps(_mm512_loadu_ps(scale + (G + i % G) * LANES),
                                      float_at(dsum + i / G * 4), sum[i]);
        levels += nibbles ? 256 : 512;
        x = d + SIX;
    }
    store_sums(w, sum, R);
    w->ahead = ahead;
}

INLINE void tile_q4k(struct jm_piece *w, const int R)
{
    tile_k4(w, R, 0);
}

INLINE void tile_q4k_nibble(struct jm_piece *w, const int R)
{
    tile_k4(w, R, 1);
}

INLINE void tile_q6k(struct jm_piece *w, const int R)
{
    const uint8_t *levels = w->panel.levels, *x = w->acts;
    const float *scale = w->panel.scales;
    struct ahead ahead = w->ahead;
    __m512 sum[SUMS];
    load_sums(w, sum, R);
    for (uint32_t b = 0; b < w->slice.cols / BLOCK; b++) {
        const uint8_t *start = x + JM_RUN_BYTES, *d = start + 2 * SIX;
        UNROLL(2)
        for (int half = 0; half < 2; half++, levels += 256, scale += G * LANES) {
            __m512i acc[SUMS];
            begin(acc, start + half * SIX, R);
            ask(&ahead);
            dot(acc, levels, w->panel.ld, x + half * JM_RUN_BYTES / 2, R, 4, 0);
            add_scaled(sum, acc, scale, d, R, 0);
        }
        x = d + SIX;
    }
    store_sums(w, sum, R);
    w->ahead = ahead;
}

/* 256 inputs have one scale: their sum is scaled by the activations alone, and then once. So sums
 * take two instructions each as they are, and begin at 0. */
INLINE void tile_stq(struct jm_piece *w, const int R)
{
    const uint8_t *levels = w->panel.levels, *x = w->acts;
    const float *scale = w->panel.scales;
    struct ahead ahead = w->ahead;
    __m512 sum[SUMS];
    load_sums(w, sum, R);
    for (uint32_t k = 0; k < w->slice.cols; k += SUPER, scale += G * LANES) {
        __m512 part[SUMS];
        UNROLL(12)
        for (int i = 0; i < R * G; i++)
            part[i] = _mm512_setzero_ps();
        for (int b = 0; b < SUPER / BLOCK; b++, levels += 512) {
            __m512i acc[SUMS];
            const uint8_t *start = x + JM_RUN_BYTES, *d = start + SIX;
            begin(acc, start, R);
            ask(&ahead);
            dot(acc, levels, w->panel.ld, x, R, 8, 0);
            UNROLL(12)
            for (int i = 0; i < R * G; i++)
                part[i] =
                    _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[i]), float_at(d + i / G * 4), part[i]);
            x = d + SIX;
        }
        UNROLL(12)
        for (int i = 0; i < R * G; i++)
            sum[i] = _mm512_fmadd_ps(part[i], _mm512_loadu_ps(scale + i % G * LANES), sum[i]);
    }
    store_sums(w, sum, R);
    w->ahead = ahead;
}

/* NAME_4, NAME_5 and NAME_6, by rows, and a list of them. */
#define TILES(name)                                                                                \
    static void name##_4(struct jm_piece *w)                                                       \
    {                                                                                              \
        name(w, 4);                                                                                \
    }                                                                                              \
    static void name##_5(struct jm_piece *w)                                                       \
    {                                                                                              \
        name(w, 5);                                                                                \
    }                                                                                              \
    static void name##_6(struct jm_piece *w)                                                       \
    {                                                                                              \
        name(w, 6);                                                                                \
    }                                                                                              \
    static jm_tile_fn *const name##s[] = { name##_4, name##_5, name##_6 };
TILES(tile_narrow)
TILES(tile_nibble)
TILES(tile_i16)
TILES(tile_q4k)
TILES(tile_q4k_nibble)
TILES(tile_q6k)
TILES(tile_stq)

jm_tile_fn *const *jm_avx512_tiles(enum jm_pack_kind kind, bool in_place)
{
    switch (kind) {
    case JM_PACK_I16:
        return tile_i16s;
    case JM_PACK_Q4:
        return in_place ? tile_nibbles : tile_narrows;
    case JM_PACK_Q8:
    case JM_PACK_Q2:
        return tile_narrows;
    case JM_PACK_STQ:
        return tile_stqs;
    case JM_PACK_Q4K:
        return in_place ? tile_q4k_nibbles : tile_q4ks;
    case JM_PACK_Q6K:
        return tile_q6ks;
    default:
        return NULL;
    }
}
