/* SPDX-License-Identifier: Apache-2.0 */
/* Tiles of attention with AVX2: H queries by a block of keys, and by a block of values. Every score
 * is summed over the key's values in order, every column over the positions in order. */
#ifndef JM_BACKENDS_CPU_AVX2_ATTEND_TILES_H
#define JM_BACKENDS_CPU_AVX2_ATTEND_TILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/cpu/avx2/lanes.h"
#include "backends/cpu/kernels.h"

enum {
    KEYS = 64,        /* positions in a block */
    KEY_BLOCK = 16,   /* positions whose keys lie interleaved */
    MOST_QUERIES = 6, /* that share a key or value in registers */
    MOST_SUMS = 12,   /* that stay in registers */
};

enum kv_form { KV_F32, KV_F16, KV_Q8 };

/* Keys and values of n positions, as jm_attend_fn and struct jm_kv8 say. */
struct block {
    const void *k, *v;
    const uint16_t *dk, *dv; /* scales, KV_Q8 */
    uint32_t n;
    uint32_t after; /* positions of the next block, 0: this is the last */
    bool first;     /* nothing has been seen before it */
};

INLINE size_t kv_bytes(const enum kv_form form)
{
    return form == KV_F32 ? sizeof(float) : form == KV_F16 ? sizeof(uint16_t) : sizeof(int8_t);
}

/* n positions and those whose keys lie among theirs. */
INLINE uint32_t key_blocks(uint32_t n)
{
    return (n + KEY_BLOCK - 1) / KEY_BLOCK * KEY_BLOCK;
}

/* The block of positions from p on, a multiple of KEYS. */
INLINE struct block block_at(const struct block *all, uint32_t p, uint32_t dim,
                             const enum kv_form form)
{
    const size_t at = (size_t)p * dim, bytes = at * kv_bytes(form);
    const uint32_t left = all->n - p, n = left < KEYS ? left : KEYS;
    return (struct block){ .k = (const char *)all->k + bytes,
                           .v = (const char *)all->v + bytes,
                           .dk = form == KV_Q8 ? all->dk + at / BLOCK : NULL,
                           .dv = form == KV_Q8 ? all->dv + at / BLOCK : NULL,
                           .n = n,
                           .after = left - n < KEYS ? left - n : KEYS,
                           .first = p == 0 };
}

/* Eight keys or values, or one, from number `at` on; of KV_Q8 the levels. */
INLINE __m256 load_kv(const void *kv, size_t at, const enum kv_form form)
{
    if (form == KV_F32)
        return _mm256_loadu_ps((const float *)kv + at);
    if (form == KV_F16)
        return _mm256_cvtph_ps(
            _mm_loadu_si128((const __m128i *)(const void *)((const uint16_t *)kv + at)));
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadu_si64((const int8_t *)kv + at)));
}

INLINE float one_kv(const void *kv, size_t at, const enum kv_form form)
{
    return form == KV_F32 ? ((const float *)kv)[at] : _cvtsh_ss(((const uint16_t *)kv)[at]);
}

/* Text's keys and values may lie in memory: while keys are read, as many values of the same block
 * are asked for, and in weigh() keys of the next, each line once and at an even pace, for a core
 * waits for few at a time. Nothing beyond them is: it would come from memory for nobody. A
 * picture's were just written. at: of the first of n steps that read `bytes` each; i: the step. */
INLINE void ask_step(const char *at, const char *end, size_t i, const size_t bytes)
{
    if (bytes >= LINE || i * bytes % LINE == 0) {
#pragma GCC unroll 4
        for (size_t b = 0; b < bytes; b += LINE)
            if (at + i * bytes + b < end)
                _mm_prefetch(at + i * bytes + b, _MM_HINT_T0);
    }
}

/* s [H, KEYS]: scale * q.K of 8 W positions from p on. */
INLINE void score_float(const float *q, const struct block *b, uint32_t p, uint32_t dim,
                        float scale, float *s, const int H, const int W, const enum kv_form form)
{
    const char *values = (const char *)b->v + (size_t)p * dim * kv_bytes(form),
               *end = (const char *)b->v + (size_t)b->n * dim * kv_bytes(form);
    __m256 sum[MOST_SUMS];
#pragma GCC unroll 12
    for (int i = 0; i < H * W; i++)
        sum[i] = _mm256_setzero_ps();
#pragma GCC unroll 2
    for (size_t i = 0; i < dim; i++) {
        __m256 x[8];
#pragma GCC unroll 8
        for (int w = 0; w < W; w++) {
            const size_t row = (p + (size_t)w / 2 * KEY_BLOCK) * dim + i * KEY_BLOCK;
            x[w] = load_kv(b->k, row + (size_t)w % 2 * LANES, form);
        }
        if (form == KV_F16)
            ask_step(values, end, i, (size_t)W * LANES * kv_bytes(form));
#pragma GCC unroll 6
        for (int h = 0; h < H; h++) {
            const __m256 value = _mm256_set1_ps(q[(size_t)h * dim + i]);
#pragma GCC unroll 8
            for (int w = 0; w < W; w++)
                sum[h * W + w] = _mm256_fmadd_ps(x[w], value, sum[h * W + w]);
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < H * W; i++)
        _mm256_storeu_ps(s + (size_t)(i / W) * KEYS + p + (size_t)(i % W) * LANES,
                         _mm256_mul_ps(sum[i], _mm256_set1_ps(scale)));
}

/* Byte i of each 32 bits, as a number. */
INLINE __m256 level_of(__m256i v, const int i)
{
    const __m256i top = i == 0   ? _mm256_slli_epi32(v, 24)
                        : i == 1 ? _mm256_slli_epi32(v, 16)
                        : i == 2 ? _mm256_slli_epi32(v, 8)
                                 : v;
    return _mm256_cvtepi32_ps(_mm256_srai_epi32(top, 24));
}

/* sum [H, W] = the products of 32 values of each query and of their levels in 8 W keys. v: what is
 * asked for meanwhile, as many, up to `end`. */
INLINE void score_levels(const float *q, const int8_t *k, const char *v, const char *end,
                         uint32_t dim, __m256 *sum, const int H, const int W)
{
#pragma GCC unroll 12
    for (int i = 0; i < H * W; i++)
        sum[i] = _mm256_setzero_ps();
    for (size_t four = 0; four < BLOCK; four += 4, k += 4 * KEY_BLOCK) {
        ask_step(v, end, four / 4, (size_t)W * 4 * LANES);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            __m256 x[8];
#pragma GCC unroll 8
            for (int w = 0; w < W; w++) {
                const int8_t *at = k + (size_t)w / 2 * KEY_BLOCK * dim + w % 2 * 4 * LANES;
                x[w] = level_of(_mm256_loadu_si256((const __m256i *)(const void *)at), i);
            }
#pragma GCC unroll 6
            for (int h = 0; h < H; h++) {
                const __m256 b = _mm256_set1_ps(q[(size_t)h * dim + four + (size_t)i]);
#pragma GCC unroll 8
                for (int w = 0; w < W; w++)
                    sum[h * W + w] = _mm256_fmadd_ps(x[w], b, sum[h * W + w]);
            }
        }
    }
}

/* The same as score_float: products of 32 are summed before they are scaled. */
INLINE void score_q8(const float *q, const struct block *b, uint32_t p, uint32_t dim, float scale,
                     float *s, const int H, const int W)
{
    const int8_t *k = (const int8_t *)b->k + (size_t)p * dim;
    const char *v = (const char *)b->v + (size_t)p * dim,
               *end = (const char *)b->v + (size_t)b->n * dim;
    const uint16_t *d = b->dk + (size_t)p * (dim / BLOCK);
    const size_t block_scales = (size_t)KEY_BLOCK * (dim / BLOCK);
    for (uint32_t i = 0; i < dim / BLOCK; i++, k += BLOCK * KEY_BLOCK, d += KEY_BLOCK) {
        __m256 sum[MOST_SUMS];
        score_levels(q + (size_t)i * BLOCK, k, v + (size_t)i * BLOCK * (size_t)W * LANES, end, dim,
                     sum, H, W);
#pragma GCC unroll 12
        for (int j = 0; j < H * W; j++) {
            const int w = j % W;
            const size_t at = (size_t)w / 2 * block_scales + (size_t)w % 2 * LANES;
            float *to = s + (size_t)(j / W) * KEYS + p + (size_t)w * LANES;
            const __m256 part =
                _mm256_mul_ps(_mm256_mul_ps(sum[j], load_kv(d, at, KV_F16)), _mm256_set1_ps(scale));
            _mm256_storeu_ps(to, i ? _mm256_add_ps(_mm256_loadu_ps(to), part) : part);
        }
    }
}

INLINE void score_some(const float *q, const struct block *b, uint32_t p, uint32_t dim, float scale,
                       float *s, const int H, const int W, const enum kv_form form)
{
    if (form == KV_Q8)
        score_q8(q, b, p, dim, scale, s, H, W);
    else
        score_float(q, b, p, dim, scale, s, H, W, form);
}

/* s [H, KEYS]: scale * q.K of a block. Keys beyond it are whatever lies there. */
INLINE void score_block(const float *q, const struct block *b, uint32_t dim, float scale, float *s,
                        const int H, const enum kv_form form)
{
    const uint32_t W = H == 1 ? 8 : H == 2 ? 4 : 2; /* eight sums or more hide an FMA's latency */
    uint32_t p = 0;
    for (; p + (W - 2) * LANES < b->n; p += W * LANES)
        score_some(q, b, p, dim, scale, s, H, (int)W, form);
    for (; W > 2 && p < b->n; p += KEY_BLOCK)
        score_some(q, b, p, dim, scale, s, H, 2, form);
}

/* out [H, dim] = out * shrink + sum_p s[p] * v[p], 8 W columns from `at` on; over total in the last
 * block. */
INLINE void weigh(const struct block *b, uint32_t dim, uint32_t at, const float *s,
                  const float *shrink, const float *total, float *out, const int H, const int W,
                  const enum kv_form form)
{
    const char *next = (const char *)b->k + (size_t)KEYS * (dim + at) * kv_bytes(form),
               *end = (const char *)b->k +
                      (size_t)(KEYS + key_blocks(b->after)) * dim * kv_bytes(form);
    __m256 sum[MOST_SUMS];
#pragma GCC unroll 12
    for (int i = 0; i < H * W; i++) {
        const float *from = out + (size_t)(i / W) * dim + at + (size_t)(i % W) * LANES;
        sum[i] = b->first ? _mm256_setzero_ps()
                          : _mm256_mul_ps(_mm256_loadu_ps(from), _mm256_set1_ps(shrink[i / W]));
    }
#pragma GCC unroll 2
    for (size_t p = 0; p < b->n; p++) {
        __m256 x[8];
#pragma GCC unroll 8
        for (int w = 0; w < W; w++)
            x[w] = load_kv(b->v, p * dim + at + (size_t)w * LANES, form);
        if (form != KV_F32)
            ask_step(next, end, p, (size_t)W * LANES * kv_bytes(form));
#pragma GCC unroll 6
        for (int h = 0; h < H; h++) {
            const __m256 e = _mm256_set1_ps(s[(size_t)h * KEYS + p]);
#pragma GCC unroll 8
            for (int w = 0; w < W; w++)
                sum[h * W + w] = _mm256_fmadd_ps(e, x[w], sum[h * W + w]);
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < H * W; i++) {
        if (b->after == 0)
            sum[i] = _mm256_mul_ps(sum[i], _mm256_set1_ps(1.0f / total[i / W]));
        _mm256_storeu_ps(out + (size_t)(i / W) * dim + at + (size_t)(i % W) * LANES, sum[i]);
    }
}

/* The same of one column. */
INLINE void weigh_one(const struct block *b, uint32_t dim, uint32_t at, const float *s,
                      const float *shrink, const float *total, float *out, const int H,
                      const enum kv_form form)
{
    for (int h = 0; h < H; h++) {
        float *to = out + (size_t)h * dim + at, sum = b->first ? 0.0f : *to * shrink[h];
        for (size_t p = 0; p < b->n; p++)
            sum += s[(size_t)h * KEYS + p] * one_kv(b->v, p * dim + at, form);
        *to = b->after == 0 ? sum * (1.0f / total[h]) : sum;
    }
}

/* Q8_0: e [H, KEYS] = s times the scales of values of one block of 32 columns. */
INLINE void scale_scores(const struct block *b, uint32_t dim, uint32_t at, const float *s, float *e,
                         const int H)
{
    float d[KEYS];
    for (size_t p = 0; p < b->n; p++)
        d[p] = _cvtsh_ss(b->dv[p * (dim / BLOCK) + at / BLOCK]);
    for (size_t h = 0; h < (size_t)H; h++)
        for (size_t p = 0; p < b->n; p++)
            e[h * KEYS + p] = s[h * KEYS + p] * d[p];
}

/* out [H, dim] = out * shrink + sum_p s[p] * v[p] of a block; over total in the last. */
INLINE void weigh_block(const struct block *b, uint32_t dim, const float *s, const float *shrink,
                        const float *total, float *out, const int H, const enum kv_form form)
{
    const uint32_t W = H == 1 ? 8 : H == 2 ? 4 : 2;
    uint32_t at = 0;
    if (form == KV_Q8) {
        float e[MOST_QUERIES * KEYS];
        const uint32_t V = W < 4 ? W : 4;
        for (; at < dim; at += V * LANES) {
            if (at % BLOCK == 0)
                scale_scores(b, dim, at, s, e, H);
            weigh(b, dim, at, e, shrink, total, out, H, (int)V, form);
        }
        return;
    }
    for (; at + W * LANES <= dim; at += W * LANES)
        weigh(b, dim, at, s, shrink, total, out, H, (int)W, form);
    for (; at + LANES <= dim; at += LANES)
        weigh(b, dim, at, s, shrink, total, out, H, 1, form);
    for (; at < dim; at++)
        weigh_one(b, dim, at, s, shrink, total, out, H, form);
}

#endif
