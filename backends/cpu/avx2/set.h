/* SPDX-License-Identifier: Apache-2.0 */
/* The linears of AVX2 + FMA + F16C, over weights interleaved by 8 (pack.h). Compiled twice, by
 * kernels.c and vnni.c: with VPDPBUSD (AVX-VNNI) four products of bytes are added up in one
 * instruction, else in two or three. Sums of integers are exact and the rest runs in the same
 * order, so that both give the same bits, and a row alone the same as among others. */
#ifndef JM_BACKENDS_CPU_AVX2_SET_H
#define JM_BACKENDS_CPU_AVX2_SET_H

#include <immintrin.h>
#include <math.h>

#include "backends/cpu/avx2/lanes.h"
#include "backends/cpu/avx2/rows.h"

/* The same in both sets. */
jm_attend_fn jm_avx2_attend;
jm_attend16_fn jm_avx2_attend16;
jm_attend8_fn jm_avx2_attend8;
jm_to_half_fn jm_avx2_to_half;
jm_from_half_fn jm_avx2_from_half;
jm_add_fn jm_avx2_add;

/* ---- float weights ---- */

INLINE void tile_float(const struct jm_packed *w, const float *x, uint32_t cols, float *y,
                       size_t ldy, uint32_t g, const int R, const int G, const int half)
{
    const size_t each = half ? 2 : 4;
    const uint8_t *p = w->data + g * w->group_bytes;
    __m256 acc[12];
#pragma GCC unroll 12
    for (int i = 0; i < R * G; i++)
        acc[i] = _mm256_setzero_ps();
    for (uint32_t k = 0; k < cols; k++) {
#pragma GCC unroll 8
        for (int j = 0; j < G; j++) {
            const uint8_t *q = p + (size_t)j * w->group_bytes + k * LANES * each;
            __m256 wk = half ? _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)q))
                             : _mm256_loadu_ps((const float *)(const void *)q);
#pragma GCC unroll 6
            for (int r = 0; r < R; r++)
                acc[r * G + j] =
                    _mm256_fmadd_ps(wk, _mm256_set1_ps(x[(size_t)r * cols + k]), acc[r * G + j]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 8
        for (int j = 0; j < G; j++) {
            uint32_t o = (g + (uint32_t)j) * LANES;
            store(y + (size_t)r * ldy + o, acc[r * G + j], w->t.rows - o);
        }
    }
}

INLINE void linear_float(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                         float *y, size_t ldy, uint32_t g0, uint32_t g1, const int half)
{
    uint32_t cols = x->cols, g = g0, r;
    for (; g + 2 <= g1; g += 2) {
        if (n_rows < 4 && g + 8 <= g1) {
            for (r = 0; r < n_rows; r++)
                tile_float(w, x->f + (size_t)r * cols, cols, y + r * ldy, ldy, g, 1, 8, half);
            g += 6;
            continue;
        }
        for (r = 0; r + 4 <= n_rows; r += 4)
            tile_float(w, x->f + (size_t)r * cols, cols, y + r * ldy, ldy, g, 4, 2, half);
        for (; r < n_rows; r++)
            tile_float(w, x->f + (size_t)r * cols, cols, y + r * ldy, ldy, g, 1, 2, half);
    }
    for (; g < g1; g++) {
        for (r = 0; r < n_rows; r++)
            tile_float(w, x->f + (size_t)r * cols, cols, y + r * ldy, ldy, g, 1, 1, half);
    }
}

/* ---- integer weights ---- */

INLINE __m256i load(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

/* Run s of two bits in each byte. */
INLINE __m256i two_bits(__m256i v, const int s)
{
    return _mm256_and_si256(_mm256_srli_epi16(v, 2 * s), _mm256_set1_epi8(3));
}

INLINE __m256i four_bits(__m256i v, const int s)
{
    return _mm256_and_si256(s ? _mm256_srli_epi16(v, 4) : v, _mm256_set1_epi8(15));
}

/* Inputs 4 j to 4 j + 3 of a block for 8 outputs: levels as they are stored, offset included. */
INLINE __m256i levels(const uint8_t *p, const int j, const enum jm_pack_kind kind)
{
    switch (kind) {
    case JM_PACK_Q8:
        return load(p + 32 * j);
    case JM_PACK_Q2:
        return two_bits(load(p + j % 2 * 32), j / 2);
    case JM_PACK_Q6K: /* four bits, then the two above */
        return _mm256_or_si256(four_bits(load(p + j % 4 * 32), j / 4),
                               _mm256_slli_epi16(two_bits(load(p + 128 + j % 2 * 32), j / 2), 4));
    default:
        return four_bits(load(p + j % 4 * 32), j / 4);
    }
}

/* Four bytes of a row, for each of eight outputs. */
INLINE __m256i same_four(const int8_t *q)
{
    int32_t four;
    __builtin_memcpy(&four, q, 4);
    return _mm256_set1_epi32(four);
}

/* The products of R rows with steps [from, to) of a block, four inputs each, are added to s [R];
 * with a factor for each output when scaled. q: the first row's integers of the block; ld: bytes to
 * the next row. */
#if defined(__AVXVNNI__)
enum { Q8_OFFSET = 128 };

INLINE void dot_steps(__m256i *s, const uint8_t *p, const int8_t *q, size_t ld, const int from,
                      const int to, const int R, const enum jm_pack_kind kind)
{
#pragma GCC unroll 8
    for (int j = from; j < to; j++) {
        const __m256i w = levels(p, j, kind);
#pragma GCC unroll 4
        for (int r = 0; r < R; r++)
            s[r] = _mm256_dpbusd_avx_epi32(s[r], w, same_four(q + (size_t)r * ld + 4 * j));
    }
}

INLINE void dot_scaled(__m256i *s, const uint8_t *p, const int8_t *q, size_t ld, const int from,
                       const int to, const int R, const enum jm_pack_kind kind, __m256i factor)
{
    __m256i t[4];
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
        t[r] = _mm256_setzero_si256();
    dot_steps(t, p, q, ld, from, to, R, kind);
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
        s[r] = _mm256_add_epi32(s[r], _mm256_mullo_epi32(t[r], factor));
}

/* Signed bytes [8] as dot_scaled takes them. */
INLINE __m256i factor_of(const uint8_t *p)
{
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}
#else
enum { Q8_OFFSET = 0 };

/* Two products of u8 by s8, added. VPMADDUBSW saturates at 16 bits: Q8 goes in as |w| and x with
 * w's sign, at most 2 * 128 * 127 = 32,512. */
INLINE __m256i products(__m256i w, __m256i x, const enum jm_pack_kind kind)
{
    if (kind != JM_PACK_Q8)
        return _mm256_maddubs_epi16(w, x);
    w = _mm256_xor_si256(w, _mm256_set1_epi8((char)0x80));
    return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
}

/* How many steps still fit in 16 bits together: of four bits a step is at most 2 * 15 * 127 =
 * 3,810, of six 16,002. */
INLINE int steps_together(const enum jm_pack_kind kind)
{
    return kind == JM_PACK_Q8 ? 1 : kind == JM_PACK_Q6K ? 2 : 8;
}

INLINE void dot_scaled(__m256i *s, const uint8_t *p, const int8_t *q, size_t ld, const int from,
                       const int to, const int R, const enum jm_pack_kind kind, __m256i factor)
{
    const int together = steps_together(kind);
#pragma GCC unroll 8
    for (int j = from; j < to; j += together) {
        __m256i pair[4];
#pragma GCC unroll 4
        for (int r = 0; r < R; r++)
            pair[r] = _mm256_setzero_si256();
#pragma GCC unroll 8
        for (int i = j; i < j + together; i++) {
            const __m256i w = levels(p, i, kind);
#pragma GCC unroll 4
            for (int r = 0; r < R; r++)
                pair[r] = _mm256_add_epi16(
                    pair[r], products(w, same_four(q + (size_t)r * ld + 4 * i), kind));
        }
#pragma GCC unroll 4
        for (int r = 0; r < R; r++)
            s[r] = _mm256_add_epi32(s[r], _mm256_madd_epi16(pair[r], factor));
    }
}

INLINE void dot_steps(__m256i *s, const uint8_t *p, const int8_t *q, size_t ld, const int from,
                      const int to, const int R, const enum jm_pack_kind kind)
{
    dot_scaled(s, p, q, ld, from, to, R, kind, _mm256_set1_epi16(1));
}

INLINE __m256i factor_of(const uint8_t *p)
{
    const __m128i one = _mm_loadl_epi64((const __m128i *)(const void *)p);
    return _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(one, one));
}
#endif

INLINE __m256 halves_to_ps(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

INLINE __m256 bytes_to_ps(const uint8_t *p)
{
    return _mm256_cvtepi32_ps(
        _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
}

/* Q8, Q4, Q2: one scale for 32 inputs. */
INLINE void tile_plain(const struct jm_packed *w, const struct jm_acts *x, uint32_t row,
                       __m256 *sum, uint32_t g, const int R, const enum jm_pack_kind kind)
{
    const int bits = kind == JM_PACK_Q8 ? 8 : kind == JM_PACK_Q4 ? 4 : 2;
    const int offset = kind == JM_PACK_Q8 ? Q8_OFFSET : kind == JM_PACK_Q4 ? 8 : 1;
    const uint32_t n = x->cols / BLOCK;
    const uint8_t *p = w->data + g * w->group_bytes, *scale = p + w->scales;
    for (uint32_t b = 0; b < n; b++, p += LANES * BLOCK * bits / 8, scale += LANES * 2) {
        const __m256 d = halves_to_ps(scale);
        __m256i s[4];
#pragma GCC unroll 4
        for (int r = 0; r < R; r++)
            s[r] = _mm256_set1_epi32(-offset * x->sum[(size_t)(row + (uint32_t)r) * n + b]);
        dot_steps(s, p, x->q + (size_t)row * x->cols + (size_t)b * BLOCK, x->cols, 0, 8, R, kind);
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            const float dx = x->d[(size_t)(row + (uint32_t)r) * n + b];
            sum[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(s[r]), _mm256_mul_ps(d, _mm256_set1_ps(dx)),
                                     sum[r]);
        }
    }
}

/* w = d scale q - dmin offset: sum += d scale dx (q . x) - dmin offset (dx sum of x) */
INLINE void tile_q4k(const struct jm_packed *w, const struct jm_acts *x, uint32_t row, __m256 *sum,
                     uint32_t g, const int R)
{
    const uint32_t n = x->cols / BLOCK;
    const uint8_t *p = w->data + g * w->group_bytes;
    for (uint32_t b = 0; b < n; b++) {
        const uint8_t *k = p + w->scales + (size_t)(b / 8) * 20 * LANES;
        const __m256 scale = _mm256_mul_ps(halves_to_ps(k), bytes_to_ps(k + (4 + b % 8) * LANES));
        const __m256 offset =
            _mm256_mul_ps(halves_to_ps(k + 2 * LANES), bytes_to_ps(k + (12 + b % 8) * LANES));
        __m256i s[4];
#pragma GCC unroll 4
        for (int r = 0; r < R; r++)
            s[r] = _mm256_setzero_si256();
        dot_steps(s, p + (size_t)b * 128, x->q + (size_t)row * x->cols + (size_t)b * BLOCK, x->cols,
                  0, 8, R, JM_PACK_Q4K);
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            const size_t at = (size_t)(row + (uint32_t)r) * n + b;
            sum[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(s[r]),
                                     _mm256_mul_ps(scale, _mm256_set1_ps(x->d[at])), sum[r]);
            sum[r] = _mm256_fnmadd_ps(offset, _mm256_set1_ps(x->dsum[at]), sum[r]);
        }
    }
}

/* 32 (scale0 sum0 + scale1 sum1) of a block's halves. Sums of 16 stay below 2^11. */
INLINE __m256i q6k_offset(const uint8_t *scales, const int32_t *sum16)
{
    const __m128i s0 = _mm_loadl_epi64((const __m128i *)(const void *)scales);
    const __m128i s1 = _mm_loadl_epi64((const __m128i *)(const void *)(scales + LANES));
    const uint32_t both = ((uint32_t)sum16[0] & 0xffffu) | (uint32_t)sum16[1] << 16;
    return _mm256_slli_epi32(_mm256_madd_epi16(_mm256_cvtepi8_epi16(_mm_unpacklo_epi8(s0, s1)),
                                               _mm256_set1_epi32((int32_t)both)),
                             5);
}

/* w = d scale (q - 32), with a scale for each 16 inputs. The scales are multiplied in as integers:
 * a block is at most 2 * 16 * 32 * 127 * 128 < 2^24, which F32 takes unrounded. */
INLINE void tile_q6k(const struct jm_packed *w, const struct jm_acts *x, uint32_t row, __m256 *sum,
                     uint32_t g, const int R)
{
    const uint32_t n = x->cols / BLOCK;
    const uint8_t *p = w->data + g * w->group_bytes;
    for (uint32_t b = 0; b < n; b++) {
        const uint8_t *k = p + w->scales + (size_t)(b / 8) * 18 * LANES;
        const uint8_t *scales = k + (2 + b % 8 * 2) * LANES, *block = p + (size_t)b * 192;
        const int8_t *q = x->q + (size_t)row * x->cols + (size_t)b * BLOCK;
        const __m256 d = halves_to_ps(k);
        __m256i s[4];
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            const size_t at = (size_t)(row + (uint32_t)r) * n + b;
            s[r] = _mm256_sub_epi32(_mm256_setzero_si256(), q6k_offset(scales, x->sum16 + 2 * at));
        }
        dot_scaled(s, block, q, x->cols, 0, 4, R, JM_PACK_Q6K, factor_of(scales));
        dot_scaled(s, block, q, x->cols, 4, 8, R, JM_PACK_Q6K, factor_of(scales + LANES));
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            const float dx = x->d[(size_t)(row + (uint32_t)r) * n + b];
            sum[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(s[r]), _mm256_mul_ps(d, _mm256_set1_ps(dx)),
                                     sum[r]);
        }
    }
}

INLINE void tile_quantised(const struct jm_packed *w, const struct jm_acts *x, uint32_t row,
                           float *y, size_t ldy, uint32_t g, const int R,
                           const enum jm_pack_kind kind)
{
    __m256 sum[4];
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
        sum[r] = _mm256_setzero_ps();
    if (kind == JM_PACK_Q4K)
        tile_q4k(w, x, row, sum, g, R);
    else if (kind == JM_PACK_Q6K)
        tile_q6k(w, x, row, sum, g, R);
    else
        tile_plain(w, x, row, sum, g, R, kind);
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
        store(y + (size_t)(row + (uint32_t)r) * ldy + (size_t)g * LANES, sum[r],
              w->t.rows - g * LANES);
}

INLINE void linear_quantised(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                             float *y, size_t ldy, uint32_t g0, uint32_t g1,
                             const enum jm_pack_kind kind)
{
    for (uint32_t g = g0; g < g1; g++) {
        uint32_t r = 0;
        for (; r + 4 <= n_rows; r += 4)
            tile_quantised(w, x, r, y, ldy, g, 4, kind);
        for (; r < n_rows; r++)
            tile_quantised(w, x, r, y, ldy, g, 1, kind);
    }
}

static void linear(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows, float *y,
                   size_t ldy, uint32_t g0, uint32_t g1, float *scratch)
{
    (void)scratch;
    switch (w->kind) {
    case JM_PACK_F16:
        linear_float(w, x, n_rows, y, ldy, g0, g1, 1);
        break;
    case JM_PACK_Q8:
        linear_quantised(w, x, n_rows, y, ldy, g0, g1, JM_PACK_Q8);
        break;
    case JM_PACK_Q4:
        linear_quantised(w, x, n_rows, y, ldy, g0, g1, JM_PACK_Q4);
        break;
    case JM_PACK_Q2:
        linear_quantised(w, x, n_rows, y, ldy, g0, g1, JM_PACK_Q2);
        break;
    case JM_PACK_Q4K:
        linear_quantised(w, x, n_rows, y, ldy, g0, g1, JM_PACK_Q4K);
        break;
    case JM_PACK_Q6K:
        linear_quantised(w, x, n_rows, y, ldy, g0, g1, JM_PACK_Q6K);
        break;
    default:
        linear_float(w, x, n_rows, y, ldy, g0, g1, 0);
        break;
    }
}

/* Members of the sets' tables that are alike. */
#define JM_AVX2_SET(set_name)                                                                      \
    {                                                                                              \
        .isa = set_name, .pack = { .group = LANES, .f16 = JM_PACK_F16 }, .k_block = 1,             \
        .linear = linear, .attend = jm_avx2_attend, .attend16 = jm_avx2_attend16,                  \
        .attend8 = jm_avx2_attend8, .to_half = jm_avx2_to_half, .from_half = jm_avx2_from_half,    \
        .add = jm_avx2_add, .swiglu = jm_avx2_swiglu, .gelu = jm_avx2_gelu,                        \
        .rms_norm = jm_avx2_rms_norm, .rope = jm_avx2_rope, .argmax = jm_avx2_argmax,              \
        .quantise = jm_avx2_quantise                                                               \
    }

#endif
