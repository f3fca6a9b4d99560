/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of AVX2 + FMA + F16C: those of set.h, and what needs no products of integers. */
#include "backends/cpu/avx2/set.h"

/* Eight keys or values, or one, from number `at` of a cache of f32 or f16 on. */
INLINE __m256 load_kv(const void *cache, size_t at, const int half)
{
    if (half)
        return _mm256_cvtph_ps(
            _mm_loadu_si128((const __m128i *)(const void *)((const uint16_t *)cache + at)));
    return _mm256_loadu_ps((const float *)cache + at);
}

INLINE float one_kv(const void *cache, size_t at, const int half)
{
    return half ? _cvtsh_ss(((const uint16_t *)cache)[at]) : ((const float *)cache)[at];
}

INLINE float dot(const float *a, const void *b, size_t at, uint32_t n, const int half)
{
    __m256 s = _mm256_setzero_ps();
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        s = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), load_kv(b, at + i, half), s);
    float total = sum_of(s);
    for (; i < n; i++)
        total += a[i] * one_kv(b, at + i, half);
    return total;
}

/* scores become exp(score - the largest); returns their sum. */
static float soften(float *scores, uint32_t n)
{
    float largest = -INFINITY, total = 0.0f;
    for (uint32_t p = 0; p < n; p++)
        largest = scores[p] > largest ? scores[p] : largest;
    for (uint32_t p = 0; p < n; p++) {
        scores[p] = expf(scores[p] - largest);
        total += scores[p];
    }
    return total;
}

INLINE void attend_head(const float *q, const void *k, const void *v, uint32_t dim, uint32_t n,
                        float scale, float *scores, float *out, const int half)
{
    for (uint32_t p = 0; p < n; p++)
        scores[p] = dot(q, k, (size_t)p * dim, dim, half) * scale;
    const float total = soften(scores, n);
    uint32_t i = 0;
    for (; i + LANES <= dim; i += LANES) {
        __m256 s = _mm256_setzero_ps();
        for (uint32_t p = 0; p < n; p++)
            s = _mm256_fmadd_ps(_mm256_set1_ps(scores[p]), load_kv(v, (size_t)p * dim + i, half),
                                s);
        _mm256_storeu_ps(out + i, _mm256_div_ps(s, _mm256_set1_ps(total)));
    }
    for (; i < dim; i++) {
        float s = 0.0f;
        for (uint32_t p = 0; p < n; p++)
            s += scores[p] * one_kv(v, (size_t)p * dim + i, half);
        out[i] = s / total;
    }
}

void jm_avx2_attend(const float *q, uint32_t n_heads, const float *k, const float *v, uint32_t dim,
                    uint32_t n, float scale, float *scores, float *out)
{
    for (uint32_t h = 0; h < n_heads; h++)
        attend_head(q + (size_t)h * dim, k, v, dim, n, scale, scores, out + (size_t)h * dim, 0);
}

void jm_avx2_attend16(const float *q, uint32_t n_heads, const uint16_t *k, const uint16_t *v,
                      uint32_t dim, uint32_t n, float scale, float *scores, float *out)
{
    for (uint32_t h = 0; h < n_heads; h++)
        attend_head(q + (size_t)h * dim, k, v, dim, n, scale, scores, out + (size_t)h * dim, 1);
}

/* Eight levels of a Q8_0 cache. */
INLINE __m256 levels_of(const int8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadu_si64(p)));
}

/* a [dim] and one key, whose scales are d: the products of 32 are summed before they are scaled. */
INLINE float dot8(const float *a, const int8_t *k, const uint16_t *d, uint32_t dim)
{
    __m256 s = _mm256_setzero_ps();
    for (uint32_t b = 0; b < dim / BLOCK; b++, a += BLOCK, k += BLOCK) {
        __m256 t = _mm256_mul_ps(_mm256_loadu_ps(a), levels_of(k));
#pragma GCC unroll 3
        for (int i = LANES; i < BLOCK; i += LANES)
            t = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), levels_of(k + i), t);
        s = _mm256_fmadd_ps(t, _mm256_set1_ps(_cvtsh_ss(d[b])), s);
    }
    return sum_of(s);
}

/* out [32] = sum of scores[p] * v[p] / total, of one block of columns. */
INLINE void weigh_block(const int8_t *v, const uint16_t *d, uint32_t dim, uint32_t n,
                        const float *scores, float total, float *out)
{
    __m256 s[4] = { _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                    _mm256_setzero_ps() };
    for (uint32_t p = 0; p < n; p++, v += dim, d += dim / BLOCK) {
        const __m256 e = _mm256_set1_ps(scores[p] * _cvtsh_ss(*d));
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            s[j] = _mm256_fmadd_ps(e, levels_of(v + j * LANES), s[j]);
    }
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++)
        _mm256_storeu_ps(out + j * LANES, _mm256_div_ps(s[j], _mm256_set1_ps(total)));
}

void jm_avx2_attend8(const float *q, uint32_t n_heads, const struct jm_kv8 *kv, uint32_t dim,
                     uint32_t n, float scale, float *scores, float *out)
{
    const uint32_t blocks = dim / BLOCK;
    for (uint32_t h = 0; h < n_heads; h++, q += dim, out += dim) {
        for (uint32_t p = 0; p < n; p++)
            scores[p] = dot8(q, kv->k + (size_t)p * dim, kv->dk + (size_t)p * blocks, dim) * scale;
        const float total = soften(scores, n);
        for (uint32_t b = 0; b < blocks; b++)
            weigh_block(kv->v + b * BLOCK, kv->dv + b, dim, n, scores, total, out + b * BLOCK);
    }
}

void jm_avx2_add(const float *a, const float *b, float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

void jm_avx2_from_half(const uint16_t *x, float *y, uint32_t n)
{
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        _mm256_storeu_ps(y + i, load_kv(x, i, 1));
    for (; i < n; i++)
        y[i] = one_kv(x, i, 1);
}

void jm_avx2_to_half(const float *x, uint16_t *y, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        y[i] = (uint16_t)_cvtss_sh(x[i], _MM_FROUND_TO_NEAREST_INT);
}

const struct jm_cpu_kernels jm_cpu_avx2 = JM_AVX2_SET("avx2");
