/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of AVX2 + FMA + F16C: those of set.h, and what needs no products of integers. */
#include "backends/cpu/avx2/set.h"

void jm_avx2_swiglu(const float *gate, const float *up, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}

INLINE float sum_of(__m256 v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

INLINE float dot(const float *a, const float *b, uint32_t n)
{
    __m256 s = _mm256_setzero_ps();
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        s = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), s);
    float total = sum_of(s);
    for (; i < n; i++)
        total += a[i] * b[i];
    return total;
}

static void attend_head(const float *q, const float *k, const float *v, uint32_t dim, uint32_t n,
                        float scale, float *scores, float *out)
{
    float largest = -INFINITY, total = 0.0f;
    for (uint32_t p = 0; p < n; p++) {
        scores[p] = dot(q, k + (size_t)p * dim, dim) * scale;
        largest = scores[p] > largest ? scores[p] : largest;
    }
    for (uint32_t p = 0; p < n; p++) {
        scores[p] = expf(scores[p] - largest);
        total += scores[p];
    }
    uint32_t i = 0;
    for (; i + LANES <= dim; i += LANES) {
        __m256 s = _mm256_setzero_ps();
        for (uint32_t p = 0; p < n; p++)
            s = _mm256_fmadd_ps(_mm256_set1_ps(scores[p]), _mm256_loadu_ps(v + (size_t)p * dim + i),
                                s);
        _mm256_storeu_ps(out + i, _mm256_div_ps(s, _mm256_set1_ps(total)));
    }
    for (; i < dim; i++) {
        float s = 0.0f;
        for (uint32_t p = 0; p < n; p++)
            s += scores[p] * v[(size_t)p * dim + i];
        out[i] = s / total;
    }
}

void jm_avx2_attend(const float *q, uint32_t n_heads, const float *k, const float *v, uint32_t dim,
                    uint32_t n, float scale, float *scores, float *out)
{
    for (uint32_t h = 0; h < n_heads; h++)
        attend_head(q + (size_t)h * dim, k, v, dim, n, scale, scores, out + (size_t)h * dim);
}

const struct jm_cpu_kernels jm_cpu_avx2 = JM_AVX2_SET("avx2");
