/* SPDX-License-Identifier: Apache-2.0 */
/* AVX2 kernels over rows of activations. */
#include "backends/cpu/avx2/rows.h"

#include <float.h>
#include <immintrin.h>
#include <math.h>

#include "backends/cpu/avx2/lanes.h"

INLINE __m256 abs_ps(__m256 x)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
}

void jm_avx2_swiglu(const float *gate, const float *up, float *out, size_t n)
{
    const __m256 one = _mm256_set1_ps(1.0f);
    for (size_t i = 0; i < n; i += LANES) {
        const __m256 g = load_some(gate + i, n - i), u = load_some(up + i, n - i);
        const __m256 neg = _mm256_sub_ps(_mm256_setzero_ps(), g);
        const __m256 huge = _mm256_cmp_ps(neg, _mm256_set1_ps(88.0f), _CMP_GT_OQ); /* overflows */
        const __m256 e = _mm256_blendv_ps(exp_ps(neg), _mm256_set1_ps(INFINITY), huge);
        const __m256 y = _mm256_mul_ps(_mm256_div_ps(g, _mm256_add_ps(one, e)), u);
        store(out + i, y, n - i);
    }
}

/* As AVX-512's: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26. */
void jm_avx2_gelu(const float *x, float *y, size_t n)
{
    static const float c[] = { 1.061405429f, -1.453152027f, 1.421413741f, -0.284496736f,
                               0.254829592f };
    const __m256 one = _mm256_set1_ps(1.0f), half = _mm256_set1_ps(0.5f);
    for (size_t i = 0; i < n; i += LANES) {
        const __m256 v = load_some(x + i, n - i);
        const __m256 a = _mm256_mul_ps(abs_ps(v), _mm256_set1_ps(0.70710678f));
        const __m256 t = _mm256_div_ps(one, _mm256_fmadd_ps(a, _mm256_set1_ps(0.3275911f), one));
        __m256 p = _mm256_set1_ps(c[0]);
#pragma GCC unroll 4
        for (int k = 1; k < 5; k++)
            p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(c[k]));
        const __m256 e = exp_ps(_mm256_sub_ps(_mm256_setzero_ps(), _mm256_mul_ps(a, a)));
        const __m256 h = _mm256_mul_ps(_mm256_mul_ps(_mm256_mul_ps(p, t), e), half);
        const __m256 up = _mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_GT_OQ);
        const __m256 share = _mm256_blendv_ps(h, _mm256_sub_ps(one, h), up);
        store(y + i, _mm256_mul_ps(v, share), n - i);
    }
}

void jm_avx2_rms_norm(const float *x, const float *w, float eps, float *out, uint32_t n)
{
    __m256 even = _mm256_setzero_ps(), odd = _mm256_setzero_ps();
    uint32_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        const __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + i + LANES);
        even = _mm256_fmadd_ps(a, a, even);
        odd = _mm256_fmadd_ps(b, b, odd);
    }
    for (; i < n; i += LANES) {
        const __m256 a = load_some(x + i, n - i);
        even = _mm256_fmadd_ps(a, a, even);
    }
    const float mean = sum_of(_mm256_add_ps(even, odd)) / (float)n;
    const __m256 r = _mm256_set1_ps(1.0f / sqrtf(mean + eps));
    for (i = 0; i < n; i += LANES)
        store(out + i,
              _mm256_mul_ps(_mm256_mul_ps(load_some(x + i, n - i), r), load_some(w + i, n - i)),
              n - i);
}

void jm_avx2_rope(const float *x, const float *turn, uint32_t dim, float *out)
{
    const uint32_t half = dim / 2;
    for (uint32_t i = 0; i < half; i += LANES) {
        const uint32_t left = half - i;
        const __m256 c = load_some(turn + i, left), s = load_some(turn + half + i, left);
        const __m256 a = load_some(x + i, left), b = load_some(x + half + i, left);
        store(out + i, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)), left);
        store(out + half + i, _mm256_fmadd_ps(a, s, _mm256_mul_ps(b, c)), left);
    }
}

/* Finds the largest value, then its first column. */
int32_t jm_avx2_argmax(const float *x, uint32_t n)
{
    __m256 best = _mm256_set1_ps(-INFINITY);
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        best = _mm256_max_ps(_mm256_loadu_ps(x + i), best); /* NaN loses */
    float lane[LANES], top = -INFINITY;
    _mm256_storeu_ps(lane, best);
    for (int j = 0; j < LANES; j++)
        top = lane[j] > top ? lane[j] : top;
    for (; i < n; i++)
        top = x[i] > top ? x[i] : top;
    for (i = 0; i + LANES <= n; i += LANES) {
        const __m256 hit = _mm256_cmp_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(top), _CMP_EQ_OQ);
        const int bits = _mm256_movemask_ps(hit);
        if (bits)
            return (int32_t)i + __builtin_ctz((unsigned)bits);
    }
    for (; i < n; i++) {
        if (x[i] >= top) /* equal: none is larger */
            return (int32_t)i;
    }
    return 0;
}

INLINE int32_t sum_of_ints(__m256i v)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

/* As jm_cpu_quantise, bit for bit. */
void jm_avx2_quantise(const float *x, uint32_t cols, int8_t *q, float *d, int32_t *sum)
{
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (uint32_t b = 0; b < cols / BLOCK; b++, x += BLOCK, q += BLOCK) {
        __m256 v[4], top = _mm256_setzero_ps(), odd = _mm256_setzero_ps();
        __m256i i[4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            v[j] = _mm256_loadu_ps(x + j * LANES);
            top = _mm256_max_ps(abs_ps(v[j]), top);
            odd = _mm256_or_ps(odd,
                               _mm256_cmp_ps(abs_ps(v[j]), _mm256_set1_ps(FLT_MAX), _CMP_NLE_UQ));
        }
        const int sane = _mm256_movemask_ps(odd) == 0;
        const float largest = largest_of(top);
        const __m256 inverse = _mm256_set1_ps(largest > 1e-30f && sane ? 127.0f / largest : 0.0f);
        const __m256i keep = _mm256_set1_epi32(sane ? -1 : 0);
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            i[j] = _mm256_and_si256(_mm256_cvtps_epi32(_mm256_mul_ps(v[j], inverse)), keep);
        const __m256i bytes =
            _mm256_packs_epi16(_mm256_packs_epi32(i[0], i[1]), _mm256_packs_epi32(i[2], i[3]));
        _mm256_storeu_si256((__m256i *)(void *)q, _mm256_permutevar8x32_epi32(bytes, order));
        d[b] = sane ? largest / 127.0f : NAN;
        sum[b] = sum_of_ints(
            _mm256_add_epi32(_mm256_add_epi32(i[0], i[1]), _mm256_add_epi32(i[2], i[3])));
    }
}
