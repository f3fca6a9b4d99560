/* SPDX-License-Identifier: Apache-2.0 */
/* What the AVX2 kernels have in common. */
#ifndef JM_BACKENDS_CPU_AVX2_LANES_H
#define JM_BACKENDS_CPU_AVX2_LANES_H

#include <immintrin.h>
#include <stddef.h>

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 8, BLOCK = 32 };

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

/* The first `left` of eight, the others 0. */
INLINE __m256 load_left(const float *p, size_t left)
{
    if (left >= LANES)
        return _mm256_loadu_ps(p);
    float lane[LANES] = { 0 };
    for (size_t i = 0; i < left; i++)
        lane[i] = p[i];
    return _mm256_loadu_ps(lane);
}

INLINE float sum_of(__m256 v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

#endif
