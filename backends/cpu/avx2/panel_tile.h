/* SPDX-License-Identifier: Apache-2.0 */
/* Up to four rows by 16 outputs. What bounds this is how many instructions of vectors a processor
 * begins in a cycle: four bits of level and their offset are added up in 16 bits for a whole block,
 * of six bits for half of one, before the sums are widened. Floats are added in the order of the
 * other kernels, block after block: a row gets the same result alone and among others. */
#ifndef JM_BACKENDS_CPU_AVX2_PANEL_TILE_H
#define JM_BACKENDS_CPU_AVX2_PANEL_TILE_H

#include "backends/cpu/avx2/panel_pack.h"

INLINE __m256i word_at(const uint8_t *p)
{
    return same_four((const int8_t *)p);
}

INLINE __m256 float_at(const uint8_t *p)
{
    return _mm256_castsi256_ps(word_at(p));
}

INLINE __m256 scale_at(const uint8_t *p)
{
    return _mm256_loadu_ps((const float *)(const void *)p);
}

INLINE void load_sums(const struct piece *p, __m256 *sum, const int R)
{
#pragma GCC unroll 8
    for (int i = 0; i < R * PAIR; i++) {
        const int j = i % PAIR;
        sum[i] = _mm256_setzero_ps();
        if (p->goes_on && p->left[j] > 0)
            sum[i] = load_some(p->y + (size_t)(i / PAIR) * p->ldy + j * LANES, p->left[j]);
    }
}

INLINE void store_sums(const struct piece *p, const __m256 *sum, const int R)
{
#pragma GCC unroll 8
    for (int i = 0; i < R * PAIR; i++)
        store(p->y + (size_t)(i / PAIR) * p->ldy + i % PAIR * LANES, sum[i], p->left[i % PAIR]);
}

/* acc[r * PAIR + j], of R rows and both groups, begin with start, words [TILE]; NULL: with nothing.
 */
INLINE void begin(__m256i *acc, const uint8_t *start, const int R)
{
#pragma GCC unroll 8
    for (int i = 0; i < R * PAIR; i++)
        acc[i] = start ? word_at(start + i / PAIR * 4) : _mm256_setzero_si256();
}

/* Steps [from, to) of a block are added. packed: levels are as in memory. */
INLINE void dot_panel(__m256i *acc, const uint8_t *const at[PAIR], const uint8_t *x, const int from,
                      const int to, const int R, const enum jm_pack_kind kind, const bool packed)
{
#pragma GCC unroll 16
    for (int i = from; i < to; i++) {
        __m256i w[PAIR];
#pragma GCC unroll 2
        for (int j = 0; j < PAIR; j++)
            w[j] = packed ? step_levels(at[j], i, kind) : load(at[j] + 32 * i);
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            const __m256i word = word_at(x + (i * TILE + r) * 4);
#pragma GCC unroll 2
            for (int j = 0; j < PAIR; j++)
                acc[r * PAIR + j] = add_products(acc[r * PAIR + j], w[j], word, is_wide(kind));
        }
    }
}

/* sum += scale d total. total: s32; scale: of both groups; d: f32 [TILE]. */
INLINE void add_scaled(__m256 *sum, const __m256i *total, const uint8_t *scale, const uint8_t *d,
                       const int R)
{
#pragma GCC unroll 8
    for (int i = 0; i < R * PAIR; i++)
        sum[i] = _mm256_fmadd_ps(
            _mm256_cvtepi32_ps(total[i]),
            _mm256_mul_ps(scale_at(scale + i % PAIR * 32), float_at(d + i / PAIR * 4)), sum[i]);
}

/* w = d scale q - dmin offset: sum += d scale dx (q . x) - dmin offset (dx sum of x) */
INLINE void take_off(__m256 *sum, const uint8_t *offset, const uint8_t *dsum, const int R)
{
#pragma GCC unroll 8
    for (int i = 0; i < R * PAIR; i++)
        sum[i] = _mm256_fnmadd_ps(scale_at(offset + i % PAIR * 32), float_at(dsum + i / PAIR * 4),
                                  sum[i]);
}

/* w = d scale (q - 32), with a scale for each 16 inputs. The scales are multiplied in as integers:
 * a block is at most 2 * 16 * 32 * 127 * 128 < 2^24, which F32 takes unrounded. */
INLINE void block_q6k(__m256i *total, const uint8_t *const at[PAIR], const uint8_t *x,
                      const uint8_t *factors, const int R, const bool packed)
{
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        __m256i acc[TILE * PAIR];
        begin(acc, x + (8 + half) * FOUR, R);
        dot_panel(acc, at, x, 4 * half, 4 * half + 4, R, JM_PACK_Q6K, packed);
#pragma GCC unroll 8
        for (int i = 0; i < R * PAIR; i++) {
            const __m256i t = scaled(acc[i], load(factors + (half * PAIR + i % PAIR) * 32));
            total[i] = half ? _mm256_add_epi32(total[i], t) : t;
        }
    }
}

INLINE void block_plain(__m256i *total, const uint8_t *const at[PAIR], const uint8_t *x,
                        const int R, const enum jm_pack_kind kind, const bool packed)
{
    begin(total, kind != JM_PACK_Q4K ? x + steps_of(kind) * FOUR : NULL, R);
    dot_panel(total, at, x, 0, steps_of(kind), R, kind, packed);
#pragma GCC unroll 8
    for (int i = 0; i < R * PAIR; i++)
        total[i] = is_wide(kind) ? total[i] : widened(total[i]);
}

/* At an even pace, for a core waits for few lines at a time. due: PACE-ths of a line. */
INLINE void ask_block(const struct piece *p, uint32_t *due, size_t *at)
{
    for (*due += p->ask_pace; *due >= PACE; *due -= PACE, *at += LINE) {
#pragma GCC unroll 2
        for (int j = 0; j < PAIR; j++)
            _mm_prefetch(p->ask[j] + *at, _MM_HINT_T0);
    }
}

INLINE void multiply(const struct piece *p, const int R, const enum jm_pack_kind kind,
                     const bool packed)
{
    const uint8_t *at[PAIR] = { p->levels[0], p->levels[1] }, *scale = p->scales, *x = p->acts;
    uint32_t due = 0;
    size_t asked = 0;
    __m256 sum[TILE * PAIR];
    load_sums(p, sum, R);
    for (uint32_t b = 0; b < p->blocks; b++) {
        ask_block(p, &due, &asked);
        const uint8_t *d = x + act_bytes(kind) - FOUR;
        __m256i total[TILE * PAIR];
        if (kind == JM_PACK_Q6K)
            block_q6k(total, at, x, scale + PAIR * 32, R, packed);
        else
            block_plain(total, at, x, R, kind, packed);
        add_scaled(sum, total, scale, d, R);
        if (kind == JM_PACK_Q4K)
            take_off(sum, scale + PAIR * 32, d - FOUR, R);
        at[0] += packed ? packed_bytes(kind) : level_bytes(kind);
        at[1] += packed ? packed_bytes(kind) : level_bytes(kind);
        scale += scale_bytes(kind);
        x += act_bytes(kind);
    }
    store_sums(p, sum, R);
}

#endif
