/* SPDX-License-Identifier: Apache-2.0 */
/* AVX-512 kernels over rows of activations. Rounding takes vectors wherever they come from: so norm
 * and SwiGLU round what they have just made, and give the bits that they would by way of memory. */
#include "backends/cpu/avx512/rows.h"

#include <immintrin.h>
#include <math.h>

#include "backends/cpu/avx512/lanes.h"

/* ---- functions of single values ---- */

INLINE __m512 swiglu_ps(__m512 g, __m512 u)
{
    __m512 neg = _mm512_sub_ps(_mm512_setzero_ps(), g);
    __mmask16 huge = _mm512_cmp_ps_mask(neg, _mm512_set1_ps(88.0f), _CMP_GT_OQ); /* exp overflows */
    __m512 e = _mm512_mask_mov_ps(exp_ps(neg), huge, _mm512_set1_ps(INFINITY));
    return _mm512_mul_ps(_mm512_div_ps(g, _mm512_add_ps(_mm512_set1_ps(1.0f), e)), u);
}

void jm_avx512_swiglu(const float *gate, const float *up, float *out, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 m = lanes_of(n - i);
        __m512 g = _mm512_maskz_loadu_ps(m, gate + i), u = _mm512_maskz_loadu_ps(m, up + i);
        _mm512_mask_storeu_ps(out + i, m, swiglu_ps(g, u));
    }
}

/* erfc(a) = (c1 t + ... + c5 t^5) e^(-a^2) + e, |e| <= 1.5e-7, t = 1 / (1 + p a), a >= 0.
 * Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26. For x < 0 the result
 * is x / 2 erfc(-x / sqrt(2)), where nothing cancels; for x > 0 the rest of x. */
void jm_avx512_gelu(const float *x, float *y, size_t n)
{
    static const float c[] = { 1.061405429f, -1.453152027f, 1.421413741f, -0.284496736f,
                               0.254829592f };
    const __m512 one = _mm512_set1_ps(1.0f), half = _mm512_set1_ps(0.5f);
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 m = lanes_of(n - i);
        __m512 v = _mm512_maskz_loadu_ps(m, x + i);
        __m512 a = _mm512_mul_ps(_mm512_abs_ps(v), _mm512_set1_ps(0.70710678f));
        __m512 t = _mm512_div_ps(one, _mm512_fmadd_ps(a, _mm512_set1_ps(0.3275911f), one));
        __m512 p = _mm512_set1_ps(c[0]);
        UNROLL(4)
        for (int k = 1; k < 5; k++)
            p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(c[k]));
        __m512 e = exp_ps(_mm512_sub_ps(_mm512_setzero_ps(), _mm512_mul_ps(a, a)));
        __m512 h = _mm512_mul_ps(_mm512_mul_ps(_mm512_mul_ps(p, t), e), half);
        __mmask16 up = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_GT_OQ);
        h = _mm512_mask_sub_ps(h, up, one, h);
        _mm512_mask_storeu_ps(y + i, m, _mm512_mul_ps(v, h));
    }
}

/* ---- norms, positions, the largest ---- */

/* 1 / sqrt(mean of x^2 + eps) */
INLINE __m512 inverse_rms(const float *x, float eps, uint32_t n)
{
    __m512 s = _mm512_setzero_ps();
    for (uint32_t i = 0; i < n; i += LANES) {
        __m512 v = _mm512_maskz_loadu_ps(lanes_of(n - i), x + i);
        s = _mm512_fmadd_ps(v, v, s);
    }
    return _mm512_set1_ps(1.0f / sqrtf(_mm512_reduce_add_ps(s) / (float)n + eps));
}

INLINE __m512 normed(__m512 x, __m512 w, __m512 r)
{
    return _mm512_mul_ps(_mm512_mul_ps(x, r), w);
}

void jm_avx512_rms_norm(const float *x, const float *w, float eps, float *out, uint32_t n)
{
    const __m512 r = inverse_rms(x, eps, n);
    for (uint32_t i = 0; i < n; i += LANES) {
        __mmask16 m = lanes_of(n - i);
        _mm512_mask_storeu_ps(
            out + i, m,
            normed(_mm512_maskz_loadu_ps(m, x + i), _mm512_maskz_loadu_ps(m, w + i), r));
    }
}

void jm_avx512_rope(const float *x, const float *turn, uint32_t dim, float *out)
{
    uint32_t half = dim / 2;
    for (uint32_t i = 0; i < half; i += LANES) {
        __mmask16 m = lanes_of(half - i);
        __m512 c = _mm512_maskz_loadu_ps(m, turn + i),
               s = _mm512_maskz_loadu_ps(m, turn + half + i);
        __m512 a = _mm512_maskz_loadu_ps(m, x + i), b = _mm512_maskz_loadu_ps(m, x + half + i);
        _mm512_mask_storeu_ps(out + i, m, _mm512_fmsub_ps(a, c, _mm512_mul_ps(b, s)));
        _mm512_mask_storeu_ps(out + half + i, m, _mm512_fmadd_ps(a, s, _mm512_mul_ps(b, c)));
    }
}

/* Finds the largest value, then its first column. */
int32_t jm_avx512_argmax(const float *x, uint32_t n)
{
    const __m512 low = _mm512_set1_ps(-INFINITY);
    __m512 best = low;
    for (uint32_t i = 0; i < n; i += LANES)
        best =
            _mm512_max_ps(_mm512_mask_loadu_ps(low, lanes_of(n - i), x + i), best); /* NaN loses */
    const __m512 top = _mm512_set1_ps(_mm512_reduce_max_ps(best));
    for (uint32_t i = 0; i < n; i += LANES) {
        __mmask16 m = lanes_of(n - i);
        unsigned hit = _mm512_mask_cmp_ps_mask(m, _mm512_maskz_loadu_ps(m, x + i), top, _CMP_EQ_OQ);
        if (hit)
            return (int32_t)i + __builtin_ctz(hit);
    }
    return 0;
}

/* ---- rounding ---- */

/* Four blocks of 32 at a time, so that what is one a block (the largest, its inverse, a sum) is
 * found for four at once: lane k of 128 bits is of block k. Of fewer the rest is zero and not
 * written. */
enum { FOUR = 4, VECTORS = 2 * FOUR };

/* Lane k: op over all of v[k], in each of its four places. op: the largest, or the sum. */
enum op { LARGEST, SUM };

INLINE __m512i joined(__m512i a, __m512i b, const enum op op)
{
    return op == LARGEST ? _mm512_max_epu32(a, b) : _mm512_add_epi32(a, b);
}

INLINE __m512i fold(__m512i v0, __m512i v1, __m512i v2, __m512i v3, const enum op op)
{
    const __m512i a =
        joined(_mm512_shuffle_i64x2(v0, v1, 0x44), _mm512_shuffle_i64x2(v0, v1, 0xee), op);
    const __m512i b =
        joined(_mm512_shuffle_i64x2(v2, v3, 0x44), _mm512_shuffle_i64x2(v2, v3, 0xee), op);
    __m512i c = joined(_mm512_shuffle_i64x2(a, b, 0x88), _mm512_shuffle_i64x2(a, b, 0xdd), op);
    c = joined(c, _mm512_shuffle_epi32(c, _MM_PERM_BADC), op);
    return joined(c, _mm512_shuffle_epi32(c, _MM_PERM_CDAB), op);
}

/* The first place of each lane. */
INLINE __m128i one_each(__m512i v)
{
    const __m512i at = _mm512_set_epi32(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 8, 4, 0);
    return _mm512_castsi512_si128(_mm512_permutexvar_epi32(at, v));
}

/* Lane k of v in all lanes. */
INLINE __m512 lane_of(__m512 v, const int k)
{
    return k == 0   ? _mm512_shuffle_f32x4(v, v, 0x00)
           : k == 1 ? _mm512_shuffle_f32x4(v, v, 0x55)
           : k == 2 ? _mm512_shuffle_f32x4(v, v, 0xaa)
                    : _mm512_shuffle_f32x4(v, v, 0xff);
}

/* The largest magnitudes of four blocks. As integers floats stand in the same order, and what is
 * not finite above all others. */
INLINE __m512i largest_of(const __m512 *x)
{
    const __m512i sign = _mm512_set1_epi32(INT32_MAX);
    __m512i m[FOUR];
    UNROLL(4)
    for (int k = 0; k < FOUR; k++)
        m[k] = _mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(x[2 * k]), sign),
                                _mm512_and_si512(_mm512_castps_si512(x[2 * k + 1]), sign));
    return fold(m[0], m[1], m[2], m[3], LARGEST);
}

/* Levels of up to `most`, as integers of 32 bits; returns the scales. */
INLINE __m512 levels_of(const __m512 *x, __m512i largest, float most, __m512i *i)
{
    const __m512 top = _mm512_castsi512_ps(largest), all = _mm512_set1_ps(most);
    const __mmask16 sane = _mm512_cmplt_epu32_mask(largest, _mm512_set1_epi32(0x7f800000));
    const __mmask16 some = _mm512_cmp_ps_mask(top, _mm512_set1_ps(1e-30f), _CMP_GT_OQ);
    const __m512 inverse = _mm512_maskz_div_ps(sane & some, all, top);
    UNROLL(8)
    for (int j = 0; j < VECTORS; j++)
        i[j] = _mm512_cvtps_epi32(_mm512_mul_ps(x[j], lane_of(inverse, j / 2)));
    if (sane != 0xffff) {
        UNROLL(8)
        for (int j = 0; j < VECTORS; j++)
            i[j] = _mm512_maskz_mov_epi32(sane >> j / 2 * 4 & 1 ? 0xffff : 0, i[j]);
    }
    return _mm512_mask_div_ps(_mm512_set1_ps(NAN), sane, top, all);
}

/* To 8 bits, n of the four blocks. dsum, sum16: NULL, or wanted too. */
INLINE void round8(const __m512i *i, __m512 scale, uint32_t n, int8_t *q, float *d, int32_t *sum,
                   float *dsum, int32_t *sum16)
{
    const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
    const __mmask8 blocks = (__mmask8)((1u << n) - 1u);
    UNROLL(2)
    for (uint32_t h = 0; h < 2; h++) {
        const __m512i *v = i + 4 * h;
        const __m512i bytes =
            _mm512_packs_epi16(_mm512_packs_epi32(v[0], v[1]), _mm512_packs_epi32(v[2], v[3]));
        const uint32_t left = n > 2 * h ? n - 2 * h : 0;
        const __mmask16 dwords = (__mmask16)(left >= 2 ? 0xffff : left ? 0xff : 0);
        _mm512_mask_storeu_epi32(q + 2 * BLOCK * h, dwords, _mm512_permutexvar_epi32(order, bytes));
    }
    const __m128 d4 = _mm_castsi128_ps(one_each(_mm512_castps_si512(scale)));
    _mm_mask_storeu_ps(d, blocks, d4);
    if (!dsum) {
        const __m512i s = fold(_mm512_add_epi32(i[0], i[1]), _mm512_add_epi32(i[2], i[3]),
                               _mm512_add_epi32(i[4], i[5]), _mm512_add_epi32(i[6], i[7]), SUM);
        _mm_mask_storeu_epi32(sum, blocks, one_each(s));
        return;
    }
    const __m128i h0 = one_each(fold(i[0], i[2], i[4], i[6], SUM)),
                  h1 = one_each(fold(i[1], i[3], i[5], i[7], SUM)), s = _mm_add_epi32(h0, h1);
    _mm_mask_storeu_epi32(sum, blocks, s);
    _mm_mask_storeu_ps(dsum, blocks, _mm_mul_ps(d4, _mm_cvtepi32_ps(s)));
    const __m256i halves = _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_unpacklo_epi32(h0, h1)), _mm_unpackhi_epi32(h0, h1), 1);
    _mm256_mask_storeu_epi32(sum16, (__mmask8)((1u << 2 * n) - 1u), halves);
}

/* To 14 bits. */
INLINE void round14(const __m512i *i, __m512 scale, uint32_t n, int16_t *q, float *d)
{
    const __m512i order = _mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0);
    UNROLL(4)
    for (uint32_t k = 0; k < FOUR; k++) {
        if (k < n)
            _mm512_storeu_si512(
                q + k * BLOCK,
                _mm512_permutexvar_epi64(order, _mm512_packs_epi32(i[2 * k], i[2 * k + 1])));
    }
    _mm_mask_storeu_ps(d, (__mmask8)((1u << n) - 1u),
                       _mm_castsi128_ps(one_each(_mm512_castps_si512(scale))));
}

/* Blocks b to b + n - 1, as all that y has. */
INLINE void round_blocks(const __m512 *x, uint32_t b, uint32_t n, const struct jm_forms *y)
{
    const size_t at = (size_t)b * BLOCK;
    const __m512i largest = largest_of(x);
    __m512i i[VECTORS];
    if (y->q) {
        const __m512 scale = levels_of(x, largest, 127.0f, i);
        round8(i, scale, n, y->q + at, y->d + b, y->sum + b, y->dsum ? y->dsum + b : NULL,
               y->dsum ? y->sum16 + 2 * (size_t)b : NULL);
    }
    if (y->q16) {
        const __m512 scale = levels_of(x, largest, 8191.0f, i);
        round14(i, scale, n, y->q16 + at, y->d16 + b);
    }
}

/* How values are made of one row or two, 16 from column `at` on. */
enum maker { GIVEN, NORM, SWIGLU };

INLINE __m512 made(const float *a, const float *b, size_t at, __m512 r, __mmask16 m,
                   const enum maker maker)
{
    const __m512 x = _mm512_maskz_loadu_ps(m, a + at);
    if (maker == GIVEN)
        return x;
    const __m512 y = _mm512_maskz_loadu_ps(m, b + at);
    return maker == NORM ? normed(x, y, r) : swiglu_ps(x, y);
}

INLINE void round_row(const float *a, const float *b, __m512 r, uint32_t cols,
                      const struct jm_forms *y, const enum maker maker)
{
    for (uint32_t from = 0, blocks = cols / BLOCK; from < blocks; from += FOUR) {
        const uint32_t n = blocks - from < FOUR ? blocks - from : FOUR;
        __m512 x[VECTORS];
        UNROLL(8)
        for (uint32_t j = 0; j < VECTORS; j++)
            x[j] = made(a, b, (size_t)from * BLOCK + j * LANES, r, j < 2 * n ? 0xffff : 0, maker);
        round_blocks(x, from, n, y);
    }
}

void jm_avx512_quantise(const float *x, uint32_t cols, int8_t *q, float *d, int32_t *sum)
{
    const struct jm_forms y = { .q = q, .d = d, .sum = sum };
    round_row(x, NULL, _mm512_setzero_ps(), cols, &y, GIVEN);
}

void jm_avx512_quantise16(const float *x, uint32_t cols, int16_t *q, float *d)
{
    const struct jm_forms y = { .q16 = q, .d16 = d };
    round_row(x, NULL, _mm512_setzero_ps(), cols, &y, GIVEN);
}

void jm_avx512_norm_round(const float *x, const float *w, float eps, uint32_t n,
                          const struct jm_forms *y)
{
    round_row(x, w, inverse_rms(x, eps, n), n, y, NORM);
}

void jm_avx512_swiglu_round(const float *gate, const float *up, uint32_t n,
                            const struct jm_forms *y)
{
    round_row(gate, up, _mm512_setzero_ps(), n, y, SWIGLU);
}
