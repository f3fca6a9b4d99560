/* SPDX-License-Identifier: Apache-2.0 */
/* What the AVX-512 kernels have in common: packed levels and scales (pack.h) into vectors. */
#ifndef JM_BACKENDS_CPU_AVX512_LANES_H
#define JM_BACKENDS_CPU_AVX512_LANES_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/cpu/pack.h"

/* Arrays of vectors become registers only where their loops are unrolled, with sizes that are
 * known. Sanitizers check each access: then that would take compilers minutes. */
#ifdef JM_SANITIZED
#define INLINE static inline
#define UNROLL(n)
#else
#define PRAGMA(text) _Pragma(#text)
#define INLINE static inline __attribute__((always_inline))
#define UNROLL(n) PRAGMA(GCC unroll n)
#endif

enum { LANES = 16, BLOCK = 32 };

/* Run s of a vector of levels; what lies above it is masked off. */
INLINE __m512i run_of(__m512i v, const int s, const enum jm_pack_kind kind)
{
    if (kind == JM_PACK_Q4)
        return _mm512_and_si512(s ? _mm512_srli_epi16(v, 4) : v, _mm512_set1_epi8(15));
    if (kind == JM_PACK_Q2)
        return _mm512_and_si512(s == 0   ? v
                                : s == 1 ? _mm512_srli_epi16(v, 2)
                                : s == 2 ? _mm512_srli_epi16(v, 4)
                                         : _mm512_srli_epi16(v, 6),
                                _mm512_set1_epi8(3));
    return v;
}

/* Inputs 4 i to 4 i + 3 of a block of Q6K, 0 to 63: the low four bits lie in vector i % 4, the two
 * above in vector 4 + i % 2. */
INLINE __m512i six_bits(const uint8_t *p, const int i)
{
    const __m512i l = _mm512_loadu_si512(p + i % 4 * 64);
    const __m512i h = _mm512_loadu_si512(p + 256 + i % 2 * 64);
    const __m512i low = i < 4 ? l : _mm512_srli_epi16(l, 4);
    const __m512i high = i < 2   ? _mm512_slli_epi16(h, 4)
                         : i < 4 ? _mm512_slli_epi16(h, 2)
                         : i < 6 ? h
                                 : _mm512_srli_epi16(h, 2);
    /* low where 15 has bits, else high */
    const __m512i both = _mm512_ternarylogic_epi32(_mm512_set1_epi8(15), low, high, 0xca);
    return _mm512_and_si512(both, _mm512_set1_epi8(63));
}

INLINE __m512 bytes_to_ps(const uint8_t *p)
{
    return _mm512_cvtepi32_ps(
        _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}

INLINE __m512 sbytes_to_ps(const uint8_t *p)
{
    return _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}

INLINE __m512 halves_to_ps(const uint8_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

/* Of exponent bytes e: 2^(e - 127). */
INLINE __m512 exponents_to_ps(const uint8_t *p)
{
    __m128i e = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu8_epi32(e), 23));
}

INLINE __m512i word_at(const void *p)
{
    int32_t four;
    __builtin_memcpy(&four, p, 4);
    return _mm512_set1_epi32(four);
}

/* acc + the products of w, four u8 or two s16 a lane, with the word at p for all lanes, which is
 * the instruction's own operand: GCC loads words into registers first, an instruction more. */
typedef int32_t __attribute__((may_alias)) jm_word;
INLINE __m512i dot_word(__m512i acc, __m512i w, const uint8_t *p, const int wide)
{
#ifdef JM_SANITIZED /* sees the word be read */
    return wide ? _mm512_dpwssd_epi32(acc, w, word_at(p)) : _mm512_dpbusd_epi32(acc, w, word_at(p));
#else
    const jm_word *word = (const void *)p;
    if (wide)
        __asm__("vpdpwssd %2%{1to16%}, %1, %0" : "+v"(acc) : "v"(w), "m"(*word));
    else
        __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(acc) : "v"(w), "m"(*word));
    return acc;
#endif
}

/* A block's sum of products of bytes begins at SUM_ZERO, the bits of SUM_BASE = 1.5 * 2^23: while
 * |sum| < 2^22 these bits + sum are the f32 SUM_BASE + sum, and no conversion is needed. Of 32
 * inputs, |x| <= 127, levels with their offset taken off within +-128: |sum| <= 32 * 127 * 128 <
 * 2^19. On the way there integers wrap, and lose nothing. */
#define SUM_BASE 0x1.8p23f
enum { SUM_ZERO = 0x4b400000 };

/* total + d * (scale * sum), the product in brackets rounded once: SUM_BASE * scale is exact, since
 * scales have at most 19 bits (an f16's 11, of k-quants times a byte) and SUM_BASE two. A scale
 * that is not finite makes it NaN. */
INLINE __m512 add_sum(__m512 total, __m512i sum, __m512 scale, __m512 d)
{
    const __m512 base = _mm512_mul_ps(scale, _mm512_set1_ps(SUM_BASE)); /* one for all rows */
    return _mm512_fmadd_ps(_mm512_fmsub_ps(_mm512_castsi512_ps(sum), scale, base), d, total);
}

/* The same of words of 16 bits, whose sums are larger and begin at 0. */
INLINE __m512 add_wide(__m512 total, __m512i sum, __m512 scale, __m512 d)
{
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_mul_ps(scale, d), total);
}

/* The first of those that are left, as many as there are lanes. */
INLINE __mmask16 lanes_of(size_t left)
{
    return (__mmask16)(left >= LANES ? 0xffffu : (1u << left) - 1u);
}

/* exp(x) for x <= 88: 2^n e^r, |r| <= ln 2 / 2, Taylor to r^7: relative error under 2e-7. Below
 * -87 the result is 0. NaN stays NaN. */
INLINE __m512 exp_ps(__m512 x)
{
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 0);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
    __m512 p = _mm512_set1_ps(1.0f / 5040);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 720));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 120));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 24));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 6));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    __mmask16 tiny = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-87.0f), _CMP_LT_OQ);
    return _mm512_mask_mov_ps(_mm512_scalef_ps(p, n), tiny, _mm512_setzero_ps());
}

/* Weights that will be wanted soon: of one group up to end, and of another one that lies `twin`
 * bytes on; how much of each to ask for at a time. */
struct ahead {
    const uint8_t *p, *end;
    size_t twin, bytes;
};

INLINE void ask(struct ahead *a)
{
    for (size_t i = 0; i < a->bytes && a->p < a->end; i += 64, a->p += 64) {
        _mm_prefetch((const char *)a->p, _MM_HINT_T1);
        _mm_prefetch((const char *)a->p + a->twin, _MM_HINT_T1);
    }
}

/* Keys and values of long contexts come from memory: they are asked for so much before they are
 * used, and values are weighed so many positions at a time, which stay in the L1 cache while all
 * columns take their part. */
enum { KEYS_AHEAD = 4096, VALUE_ROWS = 64 };

INLINE void ask_kv(const void *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64)
        _mm_prefetch((const char *)p + i, _MM_HINT_T0);
}

#endif
