/* SPDX-License-Identifier: Apache-2.0 */
/* What the AVX2 kernels have in common. */
#ifndef JM_BACKENDS_CPU_AVX2_LANES_H
#define JM_BACKENDS_CPU_AVX2_LANES_H

#include <immintrin.h>
#include <stddef.h>

#define INLINE static inline __attribute__((always_inline))

enum {
    LANES = 8,
    BLOCK = 32,
    PIECE = 512, /* inputs whose scales and levels lie together: see pack.h */
    LINE = 64,
};

/* The first `left` of eight, the others 0. */
INLINE __m256 load_some(const float *p, size_t left)
{
    if (left >= LANES)
        return _mm256_loadu_ps(p);
    float lane[LANES] = { 0 };
    for (size_t i = 0; i < left; i++)
        lane[i] = p[i];
    return _mm256_loadu_ps(lane);
}

INLINE void store(float *y, __m256 v, size_t left)
{
    if (left >= LANES) {
        _mm256_storeu_ps(y, v);
        return;
    }
    float lane[LANES];
    _mm256_storeu_ps(lane, v);
    for (size_t i = 0; i < left; i++)
        y[i] = lane[i];
}

INLINE float sum_of(__m256 v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

INLINE float largest_of(__m256 v)
{
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

/* exp(x) for x <= 88: 2^n e^r, |r| <= ln 2 / 2, Taylor to r^7: relative error under 2e-7. Below
 * -87 the result is 0. NaN stays NaN. */
INLINE __m256 exp_ps(__m256 x)
{
    const __m256 n =
        _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), r);
    __m256 p = _mm256_set1_ps(1.0f / 5040);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 720));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 120));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 24));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 6));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.5f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    const __m256 power = _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
    const __m256 tiny = _mm256_cmp_ps(x, _mm256_set1_ps(-87.0f), _CMP_LT_OQ);
    return _mm256_andnot_ps(tiny, _mm256_mul_ps(p, power));
}

#endif
