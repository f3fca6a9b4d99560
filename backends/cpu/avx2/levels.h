/* SPDX-License-Identifier: Apache-2.0 */
/* Levels of quantised weights and their products with activations of eight bits, as integers. */
#ifndef JM_BACKENDS_CPU_AVX2_LEVELS_H
#define JM_BACKENDS_CPU_AVX2_LEVELS_H

#include "backends/cpu/avx2/lanes.h"
#include "backends/cpu/kernels.h"

INLINE __m256i load(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

INLINE __m256i four_bits(__m256i v, const int s)
{
    return _mm256_and_si256(s ? _mm256_srli_epi16(v, 4) : v, _mm256_set1_epi8(15));
}

/* Run s of two bits as bits 4 and 5. */
INLINE __m256i bits_4_and_5(__m256i v, const int s)
{
    return _mm256_and_si256(s < 2 ? _mm256_slli_epi16(v, 4 - 2 * s)
                                  : _mm256_srli_epi16(v, 2 * s - 4),
                            _mm256_set1_epi8(0x30));
}

/* Inputs 4 j to 4 j + 3 of a block for 8 outputs: levels as they are stored, offset included. */
INLINE __m256i levels(const uint8_t *p, const int j, const enum jm_pack_kind kind)
{
    switch (kind) {
    case JM_PACK_Q8:
        return load(p + 32 * j);
    case JM_PACK_Q6K: /* four bits, then the two above */
        return _mm256_or_si256(four_bits(load(p + j % 4 * 32), j / 4),
                               bits_4_and_5(load(p + 128 + j % 2 * 32), j / 2));
    default:
        return four_bits(load(p + j % 4 * 32), j / 4);
    }
}

/* Four bytes of a row, for each of eight outputs. */
INLINE __m256i same_four(const int8_t *q)
{
    int32_t four;
    __builtin_memcpy(&four, q, 4);
    return _mm256_set1_epi32(four);
}

#if defined(__AVXVNNI__)
enum { Q8_OFFSET = 128 };

/* What four products for each of 8 outputs are added to, and what sums begin with: s32 [8]. A
 * block's sums then are widened, or multiplied with factors (factor_of). wide: two products of s16.
 */
INLINE __m256i add_products(__m256i acc, __m256i w, __m256i x, const int wide)
{
    return wide ? _mm256_add_epi32(acc, _mm256_madd_epi16(w, x))
                : _mm256_dpbusd_avx_epi32(acc, w, x);
}

/* factor times sums of activations, which lie in pairs of s16. */
INLINE __m128i start_of(__m128i sums, __m128i factor)
{
    return _mm_madd_epi16(sums, factor);
}

INLINE __m256i widened(__m256i acc)
{
    return acc;
}

INLINE __m256i scaled(__m256i acc, __m256i factor)
{
    return _mm256_mullo_epi32(acc, factor);
}

/* Signed bytes [8] as scaled takes them. */
INLINE __m256i factor_of(const uint8_t *p)
{
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}
#else
enum { Q8_OFFSET = 0 };

/* What four products for each of 8 outputs are added to, and what sums begin with: s16 [8][2], not
 * saturated. In 16 bits fits what comes out, whatever is lost on the way: with the offset taken
 * off, a block of four bits is at most 16 * 8 * 127, half a block of six bits 8 * 32 * 127, without
 * an offset a block of four bits 16 * 15 * 127. wide: of two products of s16, s32 [8].
 *
 * Sums are kept in the order in which they are written: GCC would add up products in trees, for
 * which it has no registers, at half the speed. */
INLINE __m256i add_products(__m256i acc, __m256i w, __m256i x, const int wide)
{
    acc = wide ? _mm256_add_epi32(acc, _mm256_madd_epi16(w, x))
               : _mm256_add_epi16(acc, _mm256_maddubs_epi16(w, x));
    __asm__("" : "+x"(acc));
    return acc;
}

INLINE __m128i start_of(__m128i sums, __m128i factor)
{
    return _mm_mullo_epi16(sums, factor);
}

INLINE __m256i widened(__m256i acc)
{
    return _mm256_madd_epi16(acc, _mm256_set1_epi16(1));
}

INLINE __m256i scaled(__m256i acc, __m256i factor)
{
    return _mm256_madd_epi16(acc, factor);
}

INLINE __m256i factor_of(const uint8_t *p)
{
    const __m128i one = _mm_loadl_epi64((const __m128i *)(const void *)p);
    return _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(one, one));
}
#endif

INLINE __m256 halves_to_ps(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

INLINE __m256 bytes_to_ps(const uint8_t *p)
{
    return _mm256_cvtepi32_ps(
        _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
}

#endif
