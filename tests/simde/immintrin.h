/* SPDX-License-Identifier: Apache-2.0 */
/* Stands before the compiler's header of the same name where kernels are built for a processor
 * without their instructions (tests/test_kernels_x86.sh): SIMDe has most intrinsics in portable C,
 * the rest is here, a loop over the lanes each. */
#ifndef JM_TESTS_SIMDE_IMMINTRIN_H
#define JM_TESTS_SIMDE_IMMINTRIN_H

/* SIMDe includes this name too, for what the processor has itself. */
#include_next <immintrin.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <math.h>
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>
#include <string.h>
#pragma GCC diagnostic pop

#define JM_LANEWISE static inline __attribute__((always_inline, unused))

/* ---- 512 bits as two halves, each by the processor's own instruction ---- */

JM_LANEWISE __m256i jm_half(__m512i v, int i)
{
    __m256i out;
    memcpy(&out, (const char *)&v + 32 * i, sizeof out);
    return out;
}

JM_LANEWISE __m512i jm_join(__m256i low, __m256i high)
{
    __m512i out;
    memcpy(&out, &low, sizeof low);
    memcpy((char *)&out + 32, &high, sizeof high);
    return out;
}

JM_LANEWISE __m256 jm_half_ps(__m512 v, int i)
{
    return _mm256_castsi256_ps(jm_half(_mm512_castps_si512(v), i));
}

JM_LANEWISE __m512 jm_join_ps(__m256 low, __m256 high)
{
    return _mm512_castsi512_ps(jm_join(_mm256_castps_si256(low), _mm256_castps_si256(high)));
}

JM_LANEWISE __m512 jm_cvtepi32_ps(__m512i v)
{
    return jm_join_ps(_mm256_cvtepi32_ps(jm_half(v, 0)), _mm256_cvtepi32_ps(jm_half(v, 1)));
}

JM_LANEWISE __m512i jm_cvtps_epi32(__m512 v)
{
    return jm_join(_mm256_cvtps_epi32(jm_half_ps(v, 0)), _mm256_cvtps_epi32(jm_half_ps(v, 1)));
}

JM_LANEWISE __m512i jm_maskz_cvtps_epi32(__mmask16 m, __m512 v)
{
    return _mm512_maskz_mov_epi32(m, jm_cvtps_epi32(v));
}

JM_LANEWISE __m512i jm_cvtepi8_epi32(__m128i v)
{
    return jm_join(_mm256_cvtepi8_epi32(v), _mm256_cvtepi8_epi32(_mm_srli_si128(v, 8)));
}

JM_LANEWISE __m512i jm_cvtepu8_epi32(__m128i v)
{
    return jm_join(_mm256_cvtepu8_epi32(v), _mm256_cvtepu8_epi32(_mm_srli_si128(v, 8)));
}

JM_LANEWISE __m512 jm_cvtph_ps(__m256i v)
{
    return jm_join_ps(_mm256_cvtph_ps(_mm256_castsi256_si128(v)),
                      _mm256_cvtph_ps(_mm256_extracti128_si256(v, 1)));
}

/* To the nearest; the kernels ask for nothing else. */
JM_LANEWISE __m256i jm_cvtps_ph(__m512 v)
{
    return _mm256_set_m128i(_mm256_cvtps_ph(jm_half_ps(v, 1), _MM_FROUND_TO_NEAREST_INT),
                            _mm256_cvtps_ph(jm_half_ps(v, 0), _MM_FROUND_TO_NEAREST_INT));
}

#define _mm512_cvtepi32_ps(v) jm_cvtepi32_ps(v)
#define _mm512_cvtps_epi32(v) jm_cvtps_epi32(v)
#define _mm512_maskz_cvtps_epi32(m, v) jm_maskz_cvtps_epi32(m, v)
#define _mm512_cvtepi8_epi32(v) jm_cvtepi8_epi32(v)
#define _mm512_cvtepu8_epi32(v) jm_cvtepu8_epi32(v)
#define _mm512_cvtph_ps(v) jm_cvtph_ps(v)
#undef _mm512_cvtps_ph
#define _mm512_cvtps_ph(v, rounding) jm_cvtps_ph(v)

/* ---- lane by lane ---- */

/* Lanes that the mask leaves out are not touched in memory. */
JM_LANEWISE void jm_mask_store(void *to, unsigned m, const void *v, int lanes, size_t each)
{
    for (int i = 0; i < lanes; i++) {
        if (m >> i & 1)
            memcpy((char *)to + (size_t)i * each, (const char *)v + (size_t)i * each, each);
    }
}

JM_LANEWISE void jm_mask_load(void *v, unsigned m, const void *from, int lanes, size_t each)
{
    jm_mask_store(v, m, from, lanes, each);
}

JM_LANEWISE __m512 jm_mask_loadu_ps(__m512 v, __mmask16 m, const void *from)
{
    jm_mask_load(&v, m, from, 16, 4);
    return v;
}

JM_LANEWISE __m256i jm_maskz_loadu_epi16(__mmask16 m, const void *from)
{
    __m256i v = _mm256_setzero_si256();
    jm_mask_load(&v, m, from, 16, 2);
    return v;
}

#define JM_STORE(name, type, lanes, each)                                                          \
    JM_LANEWISE void name(void *to, unsigned m, type v)                                            \
    {                                                                                              \
        jm_mask_store(to, m, &v, lanes, each);                                                     \
    }
JM_STORE(jm_store_512_ps, __m512, 16, 4)
JM_STORE(jm_store_512_epi32, __m512i, 16, 4)
JM_STORE(jm_store_256_epi16, __m256i, 16, 2)
JM_STORE(jm_store_256_epi32, __m256i, 8, 4)
JM_STORE(jm_store_128_epi32, __m128i, 4, 4)
JM_STORE(jm_store_128_ps, __m128, 4, 4)

#define _mm512_mask_loadu_ps(v, m, from) jm_mask_loadu_ps(v, m, from)
#define _mm512_maskz_loadu_ps(m, from) jm_mask_loadu_ps(_mm512_setzero_ps(), m, from)
#define _mm256_maskz_loadu_epi16(m, from) jm_maskz_loadu_epi16(m, from)
#define _mm512_mask_storeu_ps(to, m, v) jm_store_512_ps(to, m, v)
#define _mm512_mask_storeu_epi32(to, m, v) jm_store_512_epi32(to, m, v)
#define _mm256_mask_storeu_epi16(to, m, v) jm_store_256_epi16(to, m, v)
#define _mm256_mask_storeu_epi32(to, m, v) jm_store_256_epi32(to, m, v)
#define _mm_mask_storeu_epi32(to, m, v) jm_store_128_epi32(to, m, v)
#define _mm_mask_storeu_ps(to, m, v) jm_store_128_ps(to, m, v)

JM_LANEWISE __m128i jm_cvtepi32_epi8(__m512i v)
{
    int32_t from[16];
    int8_t to[16];
    __m128i out;
    memcpy(from, &v, sizeof from);
    for (int i = 0; i < 16; i++)
        to[i] = (int8_t)(uint8_t)from[i];
    memcpy(&out, to, sizeof out);
    return out;
}

JM_LANEWISE __m512i jm_srai_epi32(__m512i v, int n)
{
    int32_t lane[16];
    memcpy(lane, &v, sizeof lane);
    for (int i = 0; i < 16; i++)
        lane[i] >>= n;
    memcpy(&v, lane, sizeof lane);
    return v;
}

/* Of each four lanes, lane i becomes the one that bits 2 i and 2 i + 1 name. */
JM_LANEWISE __m512i jm_shuffle_epi32(__m512i v, int order)
{
    int32_t from[16], to[16];
    memcpy(from, &v, sizeof from);
    for (int i = 0; i < 16; i++)
        to[i] = from[i / 4 * 4 + (order >> i % 4 * 2 & 3)];
    memcpy(&v, to, sizeof to);
    return v;
}

/* The same of 128-bit lanes, the lower two of a, the upper two of b. */
JM_LANEWISE __m512i jm_shuffle_i64x2(__m512i a, __m512i b, int order)
{
    __m128i from[8], to[4];
    memcpy(from, &a, sizeof a);
    memcpy(from + 4, &b, sizeof b);
    for (int i = 0; i < 4; i++)
        to[i] = from[i / 2 * 4 + (order >> i * 2 & 3)];
    memcpy(&a, to, sizeof to);
    return a;
}

JM_LANEWISE __mmask16 jm_cmplt_epu32_mask(__m512i a, __m512i b)
{
    uint32_t x[16], y[16];
    unsigned m = 0;
    memcpy(x, &a, sizeof x);
    memcpy(y, &b, sizeof y);
    for (int i = 0; i < 16; i++)
        m |= (unsigned)(x[i] < y[i]) << i;
    return (__mmask16)m;
}

JM_LANEWISE __mmask16 jm_both(__mmask16 a, __mmask16 b)
{
    return a & b;
}

#define _mm512_cvtepi32_epi8(v) jm_cvtepi32_epi8(v)
#define _mm512_srai_epi32(v, n) jm_srai_epi32(v, n)
#undef _mm512_shuffle_epi32
#define _mm512_shuffle_epi32(v, order) jm_shuffle_epi32(v, order)
#undef _mm512_shuffle_i64x2
#define _mm512_shuffle_i64x2(a, b, order) jm_shuffle_i64x2(a, b, order)
#undef _mm512_shuffle_f32x4
#define _mm512_shuffle_f32x4(a, b, order)                                                          \
    _mm512_castsi512_ps(jm_shuffle_i64x2(_mm512_castps_si512(a), _mm512_castps_si512(b), order))
#define _mm512_cmplt_epu32_mask(a, b) jm_cmplt_epu32_mask(a, b)
#undef _mm512_mask_cmp_ps_mask
#define _mm512_mask_cmp_ps_mask(m, a, b, how) jm_both(m, _mm512_cmp_ps_mask(a, b, how))

/* AVX-VNNI has the instruction of AVX-512 VNNI under a name of its own. */
#undef _mm256_dpbusd_avx_epi32
#define _mm256_dpbusd_avx_epi32(sum, a, b) simde_mm256_dpbusd_epi32(sum, a, b)

/* ---- to one number ---- */

JM_LANEWISE float jm_first(__m512 v)
{
    float first;
    memcpy(&first, &v, sizeof first);
    return first;
}

/* In the order of GCC's: halves, quarters, then pairs. */
JM_LANEWISE float jm_reduce_add_ps(__m512 v)
{
    float x[16];
    memcpy(x, &v, sizeof x);
    for (int n = 8; n > 0; n /= 2) {
        for (int i = 0; i < n; i++)
            x[i] += x[i + n];
    }
    return x[0];
}

/* As VMAXPS: the second where one is NaN. */
JM_LANEWISE float jm_reduce_max_ps(__m512 v)
{
    float x[16];
    memcpy(x, &v, sizeof x);
    for (int n = 8; n > 0; n /= 2) {
        for (int i = 0; i < n; i++)
            x[i] = x[i] > x[i + n] ? x[i] : x[i + n];
    }
    return x[0];
}

JM_LANEWISE int32_t jm_reduce_add_epi32(__m512i v)
{
    uint32_t x[16], total = 0;
    memcpy(x, &v, sizeof x);
    for (int i = 0; i < 16; i++)
        total += x[i];
    return (int32_t)total;
}

JM_LANEWISE int64_t jm_reduce_add_epi64(__m512i v)
{
    uint64_t x[8], total = 0;
    memcpy(x, &v, sizeof x);
    for (int i = 0; i < 8; i++)
        total += x[i];
    return (int64_t)total;
}

#define _mm512_cvtss_f32(v) jm_first(v)
#define _mm512_reduce_add_ps(v) jm_reduce_add_ps(v)
#define _mm512_reduce_max_ps(v) jm_reduce_max_ps(v)
#define _mm512_reduce_add_epi32(v) jm_reduce_add_epi32(v)
#define _mm512_reduce_add_epi64(v) jm_reduce_add_epi64(v)

#endif
