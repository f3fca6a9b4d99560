/* SPDX-License-Identifier: Apache-2.0 */
/* AVX2 kernels over rows of activations. */
#include "backends/cpu/avx2/rows.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "backends/cpu/avx2/lanes.h"

/* ---- functions of single values ---- */

/* g [N] becomes g / (1 + e^-g) * u. */
INLINE void swiglu_each(__m256 *g, const __m256 *u, const int N)
{
    __m256 e[4];
#pragma GCC unroll 4
    for (int j = 0; j < N; j++)
        e[j] = _mm256_sub_ps(_mm256_setzero_ps(), g[j]);
    exp_each(e, N);
#pragma GCC unroll 4
    for (int j = 0; j < N; j++)
        g[j] = _mm256_mul_ps(_mm256_div_ps(g[j], _mm256_add_ps(_mm256_set1_ps(1.0f), e[j])), u[j]);
}

INLINE void load_block(const float *p, __m256 *x)
{
#pragma GCC unroll 4
    for (int j = 0; j < BLOCK / LANES; j++)
        x[j] = _mm256_loadu_ps(p + j * LANES);
}

void jm_avx2_swiglu(const float *gate, const float *up, float *out, size_t n)
{
    size_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK) {
        __m256 g[BLOCK / LANES], u[BLOCK / LANES];
        load_block(gate + i, g);
        load_block(up + i, u);
        swiglu_each(g, u, BLOCK / LANES);
#pragma GCC unroll 4
        for (int j = 0; j < BLOCK / LANES; j++)
            _mm256_storeu_ps(out + i + j * LANES, g[j]);
    }
    for (; i < n; i += LANES) {
        __m256 g = load_some(gate + i, n - i);
        const __m256 u = load_some(up + i, n - i);
        swiglu_each(&g, &u, 1);
        store(out + i, g, n - i);
    }
}

INLINE __m256 abs_ps(__m256 x)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
}

/* As AVX-512's: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26. v [N]. */
INLINE void gelu_each(__m256 *v, const int N)
{
    static const float c[] = { 1.061405429f, -1.453152027f, 1.421413741f, -0.284496736f,
                               0.254829592f };
    const __m256 one = _mm256_set1_ps(1.0f), half = _mm256_set1_ps(0.5f);
    __m256 e[4], t[4], p[4];
#pragma GCC unroll 4
    for (int j = 0; j < N; j++) {
        const __m256 a = _mm256_mul_ps(abs_ps(v[j]), _mm256_set1_ps(0.70710678f));
        t[j] = _mm256_div_ps(one, _mm256_fmadd_ps(a, _mm256_set1_ps(0.3275911f), one));
        e[j] = _mm256_sub_ps(_mm256_setzero_ps(), _mm256_mul_ps(a, a));
        p[j] = _mm256_set1_ps(c[0]);
    }
    exp_each(e, N);
#pragma GCC unroll 4
    for (int k = 1; k < 5; k++) {
#pragma GCC unroll 4
        for (int j = 0; j < N; j++)
            p[j] = _mm256_fmadd_ps(p[j], t[j], _mm256_set1_ps(c[k]));
    }
#pragma GCC unroll 4
    for (int j = 0; j < N; j++) {
        const __m256 h = _mm256_mul_ps(_mm256_mul_ps(_mm256_mul_ps(p[j], t[j]), e[j]), half);
        const __m256 up = _mm256_cmp_ps(v[j], _mm256_setzero_ps(), _CMP_GT_OQ);
        v[j] = _mm256_mul_ps(v[j], _mm256_blendv_ps(h, _mm256_sub_ps(one, h), up));
    }
}

void jm_avx2_gelu(const float *x, float *y, size_t n)
{
    size_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK) {
        __m256 v[BLOCK / LANES];
        load_block(x + i, v);
        gelu_each(v, BLOCK / LANES);
#pragma GCC unroll 4
        for (int j = 0; j < BLOCK / LANES; j++)
            _mm256_storeu_ps(y + i + j * LANES, v[j]);
    }
    for (; i < n; i += LANES) {
        __m256 v = load_some(x + i, n - i);
        gelu_each(&v, 1);
        store(y + i, v, n - i);
    }
}

/* ---- norms, positions, the largest ---- */

/* 1 / sqrt(mean of x^2 + eps) */
static __m256 inverse_rms(const float *x, float eps, uint32_t n)
{
    const float share = 1.0f / (float)n;
    __m256 sum[4];
    uint32_t i = 0;
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++)
        sum[j] = _mm256_setzero_ps();
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            const __m256 v = _mm256_loadu_ps(x + i + j * LANES);
            sum[j] = _mm256_fmadd_ps(v, v, sum[j]);
        }
    }
    for (; i < n; i += LANES) {
        const __m256 v = load_some(x + i, n - i);
        sum[0] = _mm256_fmadd_ps(v, v, sum[0]);
    }
    const __m256 all = _mm256_add_ps(_mm256_add_ps(sum[0], sum[1]), _mm256_add_ps(sum[2], sum[3]));
    return _mm256_set1_ps(1.0f / sqrtf(sum_of(all) * share + eps));
}

void jm_avx2_rms_norm(const float *x, const float *w, float eps, float *out, uint32_t n)
{
    const __m256 r = inverse_rms(x, eps, n);
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        _mm256_storeu_ps(out + i, _mm256_mul_ps(_mm256_mul_ps(_mm256_loadu_ps(x + i), r),
                                                _mm256_loadu_ps(w + i)));
    if (i < n)
        store(out + i,
              _mm256_mul_ps(_mm256_mul_ps(load_some(x + i, n - i), r), load_some(w + i, n - i)),
              n - i);
}

/* Eight pairs, or as many as are left. */
INLINE void turn_pairs(const float *x, const float *turn, size_t half, float *out, size_t left)
{
    const __m256 c = load_some(turn, left), s = load_some(turn + half, left);
    const __m256 a = load_some(x, left), b = load_some(x + half, left);
    store(out, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)), left);
    store(out + half, _mm256_fmadd_ps(a, s, _mm256_mul_ps(b, c)), left);
}

void jm_avx2_rope(const float *x, const float *turn, uint32_t dim, float *out)
{
    const uint32_t half = dim / 2;
    uint32_t i = 0;
    for (; i + LANES <= half; i += LANES)
        turn_pairs(x + i, turn + i, half, out + i, LANES);
    if (i < half)
        turn_pairs(x + i, turn + i, half, out + i, half - i);
}

/* Of eight vectors each, the largest; where one is larger than all before, the column is behind. */
int32_t jm_avx2_argmax(const float *x, uint32_t n)
{
    enum { AT_ONCE = 8 * LANES };
    float top = -INFINITY;
    uint32_t i = 0, behind = 0;
    for (; i + AT_ONCE <= n; i += AT_ONCE) {
        const __m256 before = _mm256_set1_ps(top);
        __m256 even = before, odd = before;
#pragma GCC unroll 4
        for (uint32_t j = 0; j < AT_ONCE; j += 2 * LANES) {
            even = _mm256_max_ps(_mm256_loadu_ps(x + i + j), even); /* NaN loses */
            odd = _mm256_max_ps(_mm256_loadu_ps(x + i + j + LANES), odd);
        }
        even = _mm256_max_ps(even, odd);
        if (_mm256_movemask_ps(_mm256_cmp_ps(even, before, _CMP_GT_OQ))) {
            top = largest_of(even);
            behind = i;
        }
    }
    for (; i < n; i++) {
        if (x[i] > top) {
            top = x[i];
            behind = i;
        }
    }
    for (i = behind; i < n; i++) {
        if (x[i] >= top) /* equal: none is larger */
            return (int32_t)i;
    }
    return 0;
}

/* ---- rounding ---- */

/* Four blocks of 32 at a time, so that what is one a block (the largest, its inverse, a sum) is
 * found for four at once. */
enum { FOUR = 4 };
enum op { LARGEST, SUM };

INLINE __m256i joined(__m256i a, __m256i b, const enum op op)
{
    return op == LARGEST ? _mm256_max_epu32(a, b) : _mm256_add_epi32(a, b);
}

/* Number k: op over all of v[k]. */
INLINE __m128i fold(const __m256i *v, const enum op op)
{
    const __m256i a =
        joined(_mm256_unpacklo_epi32(v[0], v[1]), _mm256_unpackhi_epi32(v[0], v[1]), op);
    const __m256i b =
        joined(_mm256_unpacklo_epi32(v[2], v[3]), _mm256_unpackhi_epi32(v[2], v[3]), op);
    const __m256i c = joined(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b), op);
    const __m256i d = joined(c, _mm256_permute4x64_epi64(c, 0x4e), op);
    return _mm256_castsi256_si128(d);
}

/* The largest magnitude of each lane. As integers floats stand in the same order, and what is not
 * finite above all others. */
INLINE __m256i largest_in(const float *block)
{
    __m256 x[BLOCK / LANES];
    load_block(block, x);
    const __m256i sign = _mm256_set1_epi32(INT32_MAX);
    __m256i m = _mm256_and_si256(_mm256_castps_si256(x[0]), sign);
#pragma GCC unroll 3
    for (int j = 1; j < BLOCK / LANES; j++)
        m = _mm256_max_epu32(_mm256_and_si256(_mm256_castps_si256(x[j]), sign), m);
    return m;
}

/* A block's levels; sane: it is finite. Returns their sums. */
INLINE __m256i levels_of(const float *x, float inverse, bool sane, int8_t *q)
{
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256 v[BLOCK / LANES];
    __m256i i[BLOCK / LANES];
    load_block(x, v);
#pragma GCC unroll 4
    for (int j = 0; j < BLOCK / LANES; j++)
        i[j] = sane ? _mm256_cvtps_epi32(_mm256_mul_ps(v[j], _mm256_set1_ps(inverse)))
                    : _mm256_setzero_si256();
    const __m256i bytes =
        _mm256_packs_epi16(_mm256_packs_epi32(i[0], i[1]), _mm256_packs_epi32(i[2], i[3]));
    _mm256_storeu_si256((__m256i *)(void *)q, _mm256_permutevar8x32_epi32(bytes, order));
    return _mm256_add_epi32(_mm256_add_epi32(i[0], i[1]), _mm256_add_epi32(i[2], i[3]));
}

/* The first n of four. */
INLINE void store_four(void *to, __m128i v, uint32_t n)
{
    if (n == FOUR)
        _mm_storeu_si128(to, v);
    else
        memcpy(to, &v, n * sizeof(int32_t));
}

/* n <= FOUR blocks. paired: two of them have one scale. */
INLINE void round_blocks(const float *x, uint32_t n, int8_t *q, float *d, int32_t *sum,
                         const bool paired)
{
    float inverse[FOUR];
    __m256i each[FOUR] = { 0 };
    for (uint32_t k = 0; k < n; k++)
        each[k] = largest_in(x + k * BLOCK);
    __m128i largest = fold(each, LARGEST);
    if (paired)
        largest = _mm_max_epu32(largest, _mm_shuffle_epi32(largest, 0xb1));
    const __m128 top = _mm_castsi128_ps(largest), all = _mm_set1_ps(127.0f);
    const __m128 sane = _mm_castsi128_ps(_mm_cmplt_epi32(largest, _mm_set1_epi32(0x7f800000)));
    const __m128 some = _mm_cmp_ps(top, _mm_set1_ps(1e-30f), _CMP_GT_OQ);
    const int finite = _mm_movemask_ps(sane);
    _mm_storeu_ps(inverse, _mm_and_ps(_mm_div_ps(all, top), some));
    store_four(d, _mm_castps_si128(_mm_blendv_ps(_mm_set1_ps(NAN), _mm_div_ps(top, all), sane)), n);
    for (uint32_t k = 0; k < n; k++)
        each[k] = levels_of(x + k * BLOCK, inverse[k], finite >> k & 1, q + k * BLOCK);
    store_four(sum, fold(each, SUM), n);
}

INLINE void round_row(const float *x, uint32_t cols, int8_t *q, float *d, int32_t *sum,
                      const bool paired)
{
    const uint32_t blocks = cols / BLOCK;
    uint32_t k = 0;
    for (; k + FOUR <= blocks; k += FOUR)
        round_blocks(x + k * BLOCK, FOUR, q + k * BLOCK, d + k, sum + k, paired);
    if (k < blocks)
        round_blocks(x + k * BLOCK, blocks - k, q + k * BLOCK, d + k, sum + k, paired);
}

/* As jm_cpu_quantise, bit for bit. */
void jm_avx2_quantise(const float *x, uint32_t cols, int8_t *q, float *d, int32_t *sum)
{
    round_row(x, cols, q, d, sum, false);
}

void jm_avx2_quantise64(const float *x, uint32_t cols, int8_t *q, float *d, int32_t *sum)
{
    round_row(x, cols, q, d, sum, true);
}
