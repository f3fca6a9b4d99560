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
    SUPER = 256,  /* inputs of a block of formats whose blocks are not BLOCK */
    PIECE = 1024, /* inputs whose scales and levels lie together: see pack.h */
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

/* x [N] becomes e^x = 2^n e^r, |r| <= ln 2 / 2, Taylor to r^7: relative error under 2e-7. 0 from
 * -87.7 down, infinite from 88.4 up, NaN stays NaN. n is what is left of x / ln 2 in a float that
 * has no room for fractions. One vector after the other would wait for itself: a core looks ahead
 * by fewer instructions than two of these chains have. */
INLINE void exp_each(__m256 *x, const int N)
{
    const __m256 whole = _mm256_set1_ps(12582912.0f); /* 1.5 * 2^23 */
    __m256 p[4], power[4];
#pragma GCC unroll 4
    for (int i = 0; i < N; i++)
        x[i] = _mm256_min_ps(_mm256_set1_ps(89.0f), _mm256_max_ps(_mm256_set1_ps(-88.0f), x[i]));
#pragma GCC unroll 4
    for (int i = 0; i < N; i++)
        power[i] = _mm256_fmadd_ps(x[i], _mm256_set1_ps(1.44269504f), whole);
#pragma GCC unroll 4
    for (int i = 0; i < N; i++) {
        const __m256 n = _mm256_sub_ps(power[i], whole);
        x[i] = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), x[i]);
        x[i] = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), x[i]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < N; i++)
        p[i] = _mm256_fmadd_ps(_mm256_set1_ps(1.0f / 5040), x[i], _mm256_set1_ps(1.0f / 720));
    static const float c[] = { 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f };
#pragma GCC unroll 6
    for (int k = 0; k < 6; k++) {
#pragma GCC unroll 4
        for (int i = 0; i < N; i++)
            p[i] = _mm256_fmadd_ps(p[i], x[i], _mm256_set1_ps(c[k]));
    }
#pragma GCC unroll 4
    for (int i = 0; i < N; i++) {
        const __m256i bits =
            _mm256_add_epi32(_mm256_castps_si256(power[i]), _mm256_set1_epi32(127));
        x[i] = _mm256_mul_ps(p[i], _mm256_castsi256_ps(_mm256_slli_epi32(bits, 23)));
    }
}

INLINE __m256 exp_ps(__m256 x)
{
    exp_each(&x, 1);
    return x;
}

#endif
