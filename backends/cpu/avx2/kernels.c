/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of AVX2 + FMA + F16C: those of set.h, and what needs no products of integers. */
#include "backends/cpu/avx2/set.h"

void jm_avx2_add(const float *a, const float *b, float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

void jm_avx2_from_half(const uint16_t *x, float *y, uint32_t n)
{
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        _mm256_storeu_ps(y + i,
                         _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(x + i))));
    for (; i < n; i++)
        y[i] = _cvtsh_ss(x[i]);
}

void jm_avx2_to_half(const float *x, uint16_t *y, uint32_t n)
{
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        _mm_storeu_si128((__m128i *)(void *)(y + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
    for (; i < n; i++)
        y[i] = (uint16_t)_cvtss_sh(x[i], _MM_FROUND_TO_NEAREST_INT);
}

const struct jm_cpu_kernels jm_cpu_avx2 = JM_AVX2_SET("avx2");
