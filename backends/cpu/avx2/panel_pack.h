/* SPDX-License-Identifier: Apache-2.0 */
/* Both sides of a piece (panel.h) in the order of their use: weights, and activations. */
#ifndef JM_BACKENDS_CPU_AVX2_PANEL_PACK_H
#define JM_BACKENDS_CPU_AVX2_PANEL_PACK_H

#include "backends/cpu/avx2/panel.h"
#include "backends/cpu/avx2/stq.h"

INLINE void put(uint8_t *p, __m256i v)
{
    _mm256_storeu_si256((__m256i *)(void *)p, v);
}

/* ---- weights ---- */

/* Step i of a packed block as a tile takes it. Of wide ones the even step is a load, but for the
 * sign of bytes 1 and 3, and the odd one a shift: see lay_wide. */
INLINE __m256i step_levels(const uint8_t *p, const int i, const enum jm_pack_kind kind)
{
    if (!is_wide(kind))
        return levels(p, i, kind);
    const __m256i w = _mm256_xor_si256(load(p + i / 2 * 32), _mm256_set1_epi16((int16_t)0x8000));
    return i % 2 ? _mm256_srai_epi16(w, 8) : w;
}

INLINE void unpack_levels(const uint8_t *p, uint8_t *to, uint32_t blocks,
                          const enum jm_pack_kind kind)
{
    for (uint32_t b = 0; b < blocks; b++, p += packed_bytes(kind), to += level_bytes(kind)) {
#pragma GCC unroll 16
        for (int i = 0; i < steps_of(kind); i++)
            put(to + 32 * i, step_levels(p, i, kind));
    }
}

/* The same of codes of 16 outputs: p as unpack_span takes it. */
INLINE void unpack_codes(const uint8_t *p, uint8_t *to, uint32_t blocks)
{
    const size_t each = level_bytes(JM_PACK_STQ_SUMS);
    for (uint32_t b = 0; b < blocks; b++)
        unpack_span(p + b * STQ_SPAN_BYTES, to + b * each, each / PAIR);
}

/* p: scales of the group from a slice's first block on, a multiple of 256 inputs. */
INLINE void unpack_scales(const uint8_t *p, uint8_t *to, uint32_t blocks,
                          const enum jm_pack_kind kind)
{
    const bool own = kind < JM_PACK_STQ; /* each block has scales of its own */
    const uint32_t super = SUPER / block_of(kind);
    for (uint32_t b = 0; b < blocks; b++, to += scale_bytes(kind)) {
        const uint32_t i = b % super;
        __m256 d = halves_to_ps(p);
        if (kind == JM_PACK_Q4K) {
            d = _mm256_mul_ps(d, bytes_to_ps(p + (4 + i) * LANES));
            _mm256_storeu_ps(
                (float *)(void *)(to + PAIR * 32),
                _mm256_mul_ps(halves_to_ps(p + 2 * LANES), bytes_to_ps(p + (12 + i) * LANES)));
        } else if (kind == JM_PACK_Q6K) {
            put(to + PAIR * 32, factor_of(p + (2 + 2 * i) * LANES));
            put(to + 2 * PAIR * 32, factor_of(p + (3 + 2 * i) * LANES));
        }
        _mm256_storeu_ps((float *)(void *)to, d);
        p += own ? packed_scale_bytes(kind) / super : i == super - 1 ? packed_scale_bytes(kind) : 0;
    }
}

/* ---- activations ---- */

/* Words 2 j and 2 j + 1 of four rows in m[j]. */
INLINE void transpose(const int8_t *const row[TILE], size_t at, __m256i m[4])
{
    __m256i v[TILE], t[4];
#pragma GCC unroll 4
    for (int r = 0; r < TILE; r++)
        v[r] = _mm256_loadu_si256((const __m256i *)(const void *)(row[r] + at));
    t[0] = _mm256_unpacklo_epi32(v[0], v[1]);
    t[1] = _mm256_unpackhi_epi32(v[0], v[1]);
    t[2] = _mm256_unpacklo_epi32(v[2], v[3]);
    t[3] = _mm256_unpackhi_epi32(v[2], v[3]);
    v[0] = _mm256_unpacklo_epi64(t[0], t[2]); /* words 0 and 4 */
    v[1] = _mm256_unpackhi_epi64(t[0], t[2]);
    v[2] = _mm256_unpacklo_epi64(t[1], t[3]);
    v[3] = _mm256_unpackhi_epi64(t[1], t[3]);
    m[0] = _mm256_permute2x128_si256(v[0], v[1], 0x20);
    m[1] = _mm256_permute2x128_si256(v[2], v[3], 0x20);
    m[2] = _mm256_permute2x128_si256(v[0], v[1], 0x31);
    m[3] = _mm256_permute2x128_si256(v[2], v[3], 0x31);
}

/* Levels are unsigned: sum_k (w - offset) q = sum_k w q - offset sum_k q. The last of it, for each
 * of four rows, of the 16 inputs in a and b: where products are added in pairs, of each pair apart,
 * as start_of takes it. */
INLINE __m128i sums_of(__m256i a, __m256i b)
{
    const __m256i ones = _mm256_set1_epi8(1), s = _mm256_add_epi16(_mm256_maddubs_epi16(ones, a),
                                                                   _mm256_maddubs_epi16(ones, b));
    return _mm_add_epi16(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
}

INLINE void put_start(uint8_t *p, __m128i sums, const enum jm_pack_kind kind)
{
    const int offset = kind == JM_PACK_Q8    ? Q8_OFFSET
                       : kind == JM_PACK_Q6K ? 32
                       : kind == JM_PACK_Q4  ? 8
                                             : 1;
    _mm_storeu_si128((__m128i *)(void *)p, start_of(sums, _mm_set1_epi16((int16_t)-offset)));
}

/* m: words of a block as transpose leaves them. */
INLINE void lay_words(uint8_t *out, const __m256i m[4])
{
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++)
        put(out + 2 * j * FOUR, m[j]);
}

/* Wide levels are not taken apart. A word's are a, b as s16 256 b + a, with b signed and a + 128 in
 * its place, and b alone; its inputs are p and q. Then
 *   (256 b + a + 128) p + b (q - 256 p) - 128 p = a p + b q,
 * where |q - 256 p| <= 257 * 127 < 2^15. */
INLINE void lay_wide(uint8_t *out, const __m256i m[4])
{
    __m256i sum = _mm256_setzero_si256();
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        const __m256i p256 = _mm256_slli_epi16(m[j], 8), p = _mm256_srai_epi16(p256, 8),
                      q = _mm256_sub_epi16(_mm256_srai_epi16(m[j], 8), p256);
        put(out + 4 * j * FOUR, _mm256_permute2x128_si256(p, q, 0x20));
        put(out + (4 * j + 2) * FOUR, _mm256_permute2x128_si256(p, q, 0x31));
        sum = _mm256_add_epi16(sum, p);
    }
    const __m128i all =
        _mm_add_epi16(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    _mm_storeu_si128((__m128i *)(void *)(out + 16 * FOUR),
                     _mm_madd_epi16(all, _mm_set1_epi16(-128)));
}

/* A block's words, and what sums begin with. */
INLINE void lay_block(uint8_t *out, uint8_t *start, const int8_t *const q[TILE], size_t at,
                      const enum jm_pack_kind kind)
{
    __m256i m[4];
    __m128i sum = _mm_setzero_si128();
#pragma GCC unroll 2
    for (uint32_t i = 0; i < block_of(kind); i += BLOCK) {
        transpose(q, at + i, m);
        if (is_wide(kind)) {
            lay_wide(out, m);
            return;
        }
        lay_words(out + i / 4 * FOUR, m);
        sum = _mm_add_epi16(sum, _mm_add_epi16(sums_of(m[0], m[1]), sums_of(m[2], m[3])));
    }
    if (kind == JM_PACK_Q6K) {
        put_start(start, sums_of(m[0], m[1]), kind);
        put_start(start + FOUR, sums_of(m[2], m[3]), kind);
    } else if (kind != JM_PACK_Q4K) {
        put_start(start, sum, kind);
    }
}

/* A tile's activations of a slice; rows that it does not have are copies of its last one. */
INLINE void lay_tile(uint8_t *out, const struct jm_acts *x, size_t row, size_t rows, struct slice s,
                     const enum jm_pack_kind kind)
{
    const size_t all = x->cols / BLOCK;
    const int8_t *q[TILE];
    size_t first[TILE]; /* block of x */
    for (size_t r = 0; r < TILE; r++) {
        const size_t have = row + (r < rows ? r : rows - 1);
        q[r] = x->q + have * x->cols + s.from;
        first[r] = have * all + s.from / BLOCK;
    }
    for (uint32_t at = 0; at < s.cols; at += block_of(kind), out += act_bytes(kind)) {
        uint8_t *start = out + FOUR * steps_of(kind), *d = out + act_bytes(kind) - FOUR;
        lay_block(out, start, q, at, kind);
        for (size_t r = 0; r < TILE; r++) {
            const size_t block = first[r] + at / BLOCK;
            if (kind == JM_PACK_Q4K)
                __builtin_memcpy(start + 4 * r, x->dsum + block, 4);
            __builtin_memcpy(d + 4 * r, x->d + block, 4);
        }
    }
}

#endif
