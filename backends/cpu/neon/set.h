/* SPDX-License-Identifier: Apache-2.0 */
/* The NEON kernels, over weights interleaved by 8 (pack.h). Compiled three times, for three
 * generations of processors, by the .c files beside it; what differs is how four products of bytes
 * are summed: with a widening multiply (every AArch64), SDOT (dotprod), or SMMLA (i8mm), which
 * takes two rows at once. Sums of integers are exact and the rest runs in the same order, so that
 * all three give the same bits, and a row alone the same as among others. */
#ifndef JM_BACKENDS_CPU_NEON_SET_H
#define JM_BACKENDS_CPU_NEON_SET_H

#include <arm_neon.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "backends/cpu/kernels.h"

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 4, GROUP = 8, BLOCK = 32 };

/* The first min(left, 4) lanes. */
INLINE void store_some(float *y, float32x4_t v, uint32_t left)
{
    if (left >= LANES) {
        vst1q_f32(y, v);
        return;
    }
    float lane[LANES];
    vst1q_f32(lane, v);
    for (uint32_t i = 0; i < left; i++)
        y[i] = lane[i];
}

/* The rest of a row that does not fill a vector, with zeros behind it. */
INLINE float32x4_t load_some(const float *x, size_t left)
{
    float lane[LANES] = { 0 };
    if (left >= LANES)
        return vld1q_f32(x);
    memcpy(lane, x, left * sizeof *x);
    return vld1q_f32(lane);
}

/* Both halves of a group's 8 outputs; rows counts those that are left from there on. */
INLINE void store_group(float *y, float32x4_t low, float32x4_t high, uint32_t rows)
{
    store_some(y, low, rows);
    if (rows > LANES)
        store_some(y + LANES, high, rows - LANES);
}

/* ---- float weights ---- */

INLINE float32x4_t float_weight(const uint8_t *p, const int half)
{
    if (half)
        return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
    return vreinterpretq_f32_u8(vld1q_u8(p));
}

/* R rows by G groups. */
INLINE void tile_float(const struct jm_packed *w, const float *x, uint32_t cols, float *y,
                       size_t ldy, uint32_t g, const int R, const int G, const int half)
{
    const size_t each = half ? 2 : 4;
    const uint8_t *p = w->data + g * w->group_bytes;
    float32x4_t acc[16];
#pragma GCC unroll 16
    for (int i = 0; i < R * G * 2; i++)
        acc[i] = vdupq_n_f32(0);
    for (uint32_t k = 0; k < cols; k++) {
#pragma GCC unroll 8
        for (int j = 0; j < G * 2; j++) {
            const uint8_t *q = p + (size_t)(j / 2) * w->group_bytes + k * GROUP * each +
                               (size_t)(j % 2) * LANES * each;
            const float32x4_t wk = float_weight(q, half);
#pragma GCC unroll 4
            for (int r = 0; r < R; r++)
                acc[r * G * 2 + j] = vfmaq_n_f32(acc[r * G * 2 + j], wk, x[(size_t)r * cols + k]);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
        for (int j = 0; j < G; j++) {
            const uint32_t o = (g + (uint32_t)j) * GROUP;
            store_group(y + (size_t)r * ldy + o, acc[(r * G + j) * 2], acc[(r * G + j) * 2 + 1],
                        w->t.rows - o);
        }
    }
}

INLINE void linear_float(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                         float *y, size_t ldy, uint32_t g0, uint32_t g1, const int half)
{
    const uint32_t cols = x->cols;
    uint32_t g = g0, r;
    for (; g + 2 <= g1; g += 2) {
        if (n_rows < 4 && g + 4 <= g1) {
            for (r = 0; r < n_rows; r++)
                tile_float(w, x->f + (size_t)r * cols, cols, y + r * ldy, ldy, g, 1, 4, half);
            g += 2;
            continue;
        }
        for (r = 0; r + 4 <= n_rows; r += 4)
            tile_float(w, x->f + (size_t)r * cols, cols, y + r * ldy, ldy, g, 4, 2, half);
        for (; r < n_rows; r++)
            tile_float(w, x->f + (size_t)r * cols, cols, y + r * ldy, ldy, g, 1, 2, half);
    }
    for (; g < g1; g++) {
        for (r = 0; r < n_rows; r++)
            tile_float(w, x->f + (size_t)r * cols, cols, y + r * ldy, ldy, g, 1, 1, half);
    }
}

/* ---- quantised weights ---- */

INLINE uint8x16_t four_bits(uint8x16_t v, const int s)
{
    return s ? vshrq_n_u8(v, 4) : vandq_u8(v, vdupq_n_u8(15));
}

/* Run s of two bits in each byte. */
INLINE uint8x16_t two_bits(uint8x16_t v, const int s)
{
    return vandq_u8(vshlq_u8(v, vdupq_n_s8((int8_t)(-2 * s))), vdupq_n_u8(3));
}

/* Four outputs (those of half h of the group) by four k (4 j to 4 j + 3) of a block. Signed for
 * Q8, else with the offset added. */
INLINE int8x16_t levels(const uint8_t *p, const int j, const int h, const enum jm_pack_kind kind)
{
    if (kind == JM_PACK_Q8)
        return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(p + (j * 2 + h) * 16), vdupq_n_u8(0x80)));
    if (kind == JM_PACK_Q2)
        return vreinterpretq_s8_u8(two_bits(vld1q_u8(p + (j % 2 * 2 + h) * 16), j / 2));
    uint8x16_t v = four_bits(vld1q_u8(p + (j % 4 * 2 + h) * 16), j / 4);
    if (kind == JM_PACK_Q6K) /* the two bits above follow the block's fours */
        v = vorrq_u8(v, vshlq_n_u8(two_bits(vld1q_u8(p + 128 + (j % 2 * 2 + h) * 16), j / 2), 4));
    return vreinterpretq_s8_u8(v);
}

INLINE int offset_of(const enum jm_pack_kind kind)
{
    return kind == JM_PACK_Q8 ? 0 : kind == JM_PACK_Q4 ? 8 : 1;
}

/* acc[i] += sum of w[4 i + c] * x[4 i + c], c = 0..3. */
INLINE int32x4_t dot4(int32x4_t acc, int8x16_t w, int8x16_t x)
{
#if defined(__ARM_FEATURE_DOTPROD)
    return vdotq_s32(acc, w, x);
#else /* products of at most 128 * 127 fit in 16 bits, their sums in 32 */
    const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(w), vget_low_s8(x)));
    const int32x4_t high = vpaddlq_s16(vmull_high_s8(w, x));
    return vaddq_s32(acc, vpaddq_s32(low, high));
#endif
}

/* Four bytes of a row, for each of four outputs. */
INLINE int8x16_t same_four(const int8_t *q)
{
    int32_t four;
    memcpy(&four, q, sizeof four);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

/* The products of R rows with steps [from, to) of a block, four inputs each, are added to s [R, 2].
 * q: of the first row; ld: bytes to the next. */
INLINE void dot_steps(const uint8_t *p, const int8_t *q, size_t ld, int32x4_t *s, const int from,
                      const int to, const int R, const enum jm_pack_kind kind)
{
#pragma GCC unroll 8
    for (int j = from; j < to; j++) {
        const int8x16_t w0 = levels(p, j, 0, kind), w1 = levels(p, j, 1, kind);
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            const int8x16_t x = same_four(q + (size_t)r * ld + 4 * j);
            s[2 * r] = dot4(s[2 * r], w0, x);
            s[2 * r + 1] = dot4(s[2 * r + 1], w1, x);
        }
    }
}

#if defined(__ARM_FEATURE_MATMUL_INT8)
/* The same for four rows. SMMLA multiplies two outputs by two rows over eight k, so the fours of
 * two steps are zipped into eights, and the 2 x 2 sums taken apart at the end. */
INLINE void dot_steps_pairs(const uint8_t *p, const int8_t *q, size_t ld, int32x4_t s[8],
                            const int from, const int to, const enum jm_pack_kind kind)
{
    int32x4_t t[8]; /* [pair of rows][half][pair of outputs] */
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        t[i] = vdupq_n_s32(0);
#pragma GCC unroll 4
    for (int j = from / 2; j < to / 2; j++) {
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            const int32x4_t a = vreinterpretq_s32_s8(levels(p, 2 * j, h, kind));
            const int32x4_t b = vreinterpretq_s32_s8(levels(p, 2 * j + 1, h, kind));
            const int8x16_t w01 = vreinterpretq_s8_s32(vzip1q_s32(a, b));
            const int8x16_t w23 = vreinterpretq_s8_s32(vzip2q_s32(a, b));
#pragma GCC unroll 2
            for (int r = 0; r < 2; r++) {
                const int8_t *row = q + (size_t)(2 * r) * ld + 8 * j;
                const int8x16_t x = vcombine_s8(vld1_s8(row), vld1_s8(row + ld));
                t[r * 4 + h * 2] = vmmlaq_s32(t[r * 4 + h * 2], w01, x);
                t[r * 4 + h * 2 + 1] = vmmlaq_s32(t[r * 4 + h * 2 + 1], w23, x);
            }
        }
    }
#pragma GCC unroll 2
    for (int r = 0; r < 2; r++) {
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            const int32x4_t a = t[r * 4 + h * 2], b = t[r * 4 + h * 2 + 1];
            s[4 * r + h] = vaddq_s32(s[4 * r + h], vuzp1q_s32(a, b));
            s[4 * r + 2 + h] = vaddq_s32(s[4 * r + 2 + h], vuzp2q_s32(a, b));
        }
    }
}
#endif

/* As dot_steps, the fastest way. */
INLINE void dot_rows(const uint8_t *p, const int8_t *q, size_t ld, int32x4_t *s, const int from,
                     const int to, const int R, const enum jm_pack_kind kind)
{
#if defined(__ARM_FEATURE_MATMUL_INT8)
    if (R == 4) {
        dot_steps_pairs(p, q, ld, s, from, to, kind);
        return;
    }
#endif
    dot_steps(p, q, ld, s, from, to, R, kind);
}

/* Q8, Q4, Q2: one scale for 32 inputs. acc [R, 2] */
INLINE void tile_plain(const struct jm_packed *w, const struct jm_acts *x, uint32_t row,
                       float32x4_t *acc, uint32_t g, const int R, const enum jm_pack_kind kind)
{
    const size_t bits = kind == JM_PACK_Q8 ? 8 : kind == JM_PACK_Q4 ? 4 : 2;
    const uint32_t n = x->cols / BLOCK;
    const uint8_t *p = w->data + g * w->group_bytes, *scale = p + w->scales;
    for (uint32_t b = 0; b < n; b++, p += GROUP * BLOCK * bits / 8, scale += GROUP * 2) {
        const int8_t *q = x->q + (size_t)row * x->cols + (size_t)b * BLOCK;
        const float32x4_t d0 = float_weight(scale, 1), d1 = float_weight(scale + 2 * LANES, 1);
        int32x4_t s[8];
#pragma GCC unroll 4
        for (int r = 0; r < R; r++)
            s[2 * r] = s[2 * r + 1] =
                vdupq_n_s32(-offset_of(kind) * x->sum[(size_t)(row + (uint32_t)r) * n + b]);
        dot_rows(p, q, x->cols, s, 0, 8, R, kind);
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            const float dx = x->d[(size_t)(row + (uint32_t)r) * n + b];
            acc[2 * r] = vfmaq_f32(acc[2 * r], vcvtq_f32_s32(s[2 * r]), vmulq_n_f32(d0, dx));
            acc[2 * r + 1] =
                vfmaq_f32(acc[2 * r + 1], vcvtq_f32_s32(s[2 * r + 1]), vmulq_n_f32(d1, dx));
        }
    }
}

/* Four signed bytes, widened. Unsigned ones below 128 too: those of Q4K have six bits. */
INLINE int32x4_t four_bytes(const uint8_t *p)
{
    uint32_t four;
    memcpy(&four, p, sizeof four);
    return vmovl_s16(vget_low_s16(vmovl_s8(vcreate_s8(four))));
}

/* w = d scale q - dmin offset: acc += d scale dx (q . x) - dmin offset (dx sum of x) */
INLINE void tile_q4k(const struct jm_packed *w, const struct jm_acts *x, uint32_t row,
                     float32x4_t *acc, uint32_t g, const int R)
{
    const uint32_t n = x->cols / BLOCK;
    const uint8_t *p = w->data + g * w->group_bytes;
    for (uint32_t b = 0; b < n; b++) {
        const uint8_t *k = p + w->scales + (size_t)(b / 8) * 20 * GROUP;
        const uint8_t *scales = k + (4 + b % 8) * GROUP, *offsets = k + (12 + b % 8) * GROUP;
        int32x4_t s[8];
#pragma GCC unroll 8
        for (int i = 0; i < 2 * R; i++)
            s[i] = vdupq_n_s32(0);
        dot_rows(p + (size_t)b * 128, x->q + (size_t)row * x->cols + (size_t)b * BLOCK, x->cols, s,
                 0, 8, R, JM_PACK_Q4K);
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            const float32x4_t scale = vmulq_f32(float_weight(k + 8 * h, 1),
                                                vcvtq_f32_s32(four_bytes(scales + LANES * h)));
            const float32x4_t offset = vmulq_f32(float_weight(k + 2 * GROUP + 8 * h, 1),
                                                 vcvtq_f32_s32(four_bytes(offsets + LANES * h)));
#pragma GCC unroll 4
            for (int r = 0; r < R; r++) {
                const size_t at = (size_t)(row + (uint32_t)r) * n + b;
                float32x4_t *a = &acc[2 * r + h];
                *a = vfmaq_f32(*a, vcvtq_f32_s32(s[2 * r + h]), vmulq_n_f32(scale, x->d[at]));
                *a = vfmsq_f32(*a, offset, vdupq_n_f32(x->dsum[at]));
            }
        }
    }
}

/* w = d scale (q - 32), with a scale for each 16 inputs. The scales are multiplied in as integers:
 * a block is at most 2 * 16 * 32 * 127 * 128 < 2^24, which F32 takes unrounded. */
INLINE void tile_q6k(const struct jm_packed *w, const struct jm_acts *x, uint32_t row,
                     float32x4_t *acc, uint32_t g, const int R)
{
    const uint32_t n = x->cols / BLOCK;
    const uint8_t *p = w->data + g * w->group_bytes;
    for (uint32_t b = 0; b < n; b++) {
        const uint8_t *k = p + w->scales + (size_t)(b / 8) * 18 * GROUP;
        const int8_t *q = x->q + (size_t)row * x->cols + (size_t)b * BLOCK;
        int32x4_t s[8];
#pragma GCC unroll 8
        for (int i = 0; i < 2 * R; i++)
            s[i] = vdupq_n_s32(0);
#pragma GCC unroll 2
        for (uint32_t half = 0; half < 2; half++) {
            const uint8_t *scales = k + (2 + b % 8 * 2 + half) * GROUP;
            int32x4_t t[8];
#pragma GCC unroll 4
            for (int r = 0; r < R; r++) {
                const size_t at = (size_t)(row + (uint32_t)r) * n + b;
                t[2 * r] = t[2 * r + 1] = vdupq_n_s32(-32 * x->sum16[2 * at + half]);
            }
            dot_rows(p + (size_t)b * 192, q, x->cols, t, (int)half * 4, (int)half * 4 + 4, R,
                     JM_PACK_Q6K);
#pragma GCC unroll 8
            for (int i = 0; i < 2 * R; i++)
                s[i] = vmlaq_s32(s[i], t[i], four_bytes(scales + LANES * (i % 2)));
        }
#pragma GCC unroll 8
        for (int i = 0; i < 2 * R; i++) {
            const float dx = x->d[(size_t)(row + (uint32_t)(i / 2)) * n + b];
            acc[i] = vfmaq_f32(acc[i], vcvtq_f32_s32(s[i]),
                               vmulq_n_f32(float_weight(k + 8 * (i % 2), 1), dx));
        }
    }
}

INLINE void tile_quantised(const struct jm_packed *w, const struct jm_acts *x, uint32_t row,
                           float *y, size_t ldy, uint32_t g, const int R,
                           const enum jm_pack_kind kind)
{
    float32x4_t acc[8];
#pragma GCC unroll 8
    for (int i = 0; i < 2 * R; i++)
        acc[i] = vdupq_n_f32(0);
    if (kind == JM_PACK_Q4K)
        tile_q4k(w, x, row, acc, g, R);
    else if (kind == JM_PACK_Q6K)
        tile_q6k(w, x, row, acc, g, R);
    else
        tile_plain(w, x, row, acc, g, R, kind);
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
        store_group(y + (size_t)(row + (uint32_t)r) * ldy + (size_t)g * GROUP, acc[2 * r],
                    acc[2 * r + 1], w->t.rows - g * GROUP);
}

INLINE void linear_quantised(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                             float *y, size_t ldy, uint32_t g0, uint32_t g1,
                             const enum jm_pack_kind kind)
{
    for (uint32_t g = g0; g < g1; g++) {
        uint32_t r = 0;
        for (; r + 4 <= n_rows; r += 4)
            tile_quantised(w, x, r, y, ldy, g, 4, kind);
        for (; r < n_rows; r++)
            tile_quantised(w, x, r, y, ldy, g, 1, kind);
    }
}

static void linear(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows, float *y,
                   size_t ldy, uint32_t g0, uint32_t g1, float *scratch)
{
    (void)scratch;
    switch (w->kind) {
    case JM_PACK_F16:
        linear_float(w, x, n_rows, y, ldy, g0, g1, 1);
        break;
    case JM_PACK_Q8:
        linear_quantised(w, x, n_rows, y, ldy, g0, g1, JM_PACK_Q8);
        break;
    case JM_PACK_Q4:
        linear_quantised(w, x, n_rows, y, ldy, g0, g1, JM_PACK_Q4);
        break;
    case JM_PACK_Q2:
        linear_quantised(w, x, n_rows, y, ldy, g0, g1, JM_PACK_Q2);
        break;
    case JM_PACK_Q4K:
        linear_quantised(w, x, n_rows, y, ldy, g0, g1, JM_PACK_Q4K);
        break;
    case JM_PACK_Q6K:
        linear_quantised(w, x, n_rows, y, ldy, g0, g1, JM_PACK_Q6K);
        break;
    default:
        linear_float(w, x, n_rows, y, ldy, g0, g1, 0);
        break;
    }
}

/* ---- the others ---- */

/* exp(x) for x <= 88: 2^n e^r, |r| <= ln 2 / 2, Taylor to r^7: relative error under 2e-7. Below
 * -87 the result is 0. NaN stays NaN. */
INLINE float32x4_t exp_f32(float32x4_t x)
{
    static const float factor[] = { 1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f };
    const float32x4_t n = vrndnq_f32(vmulq_n_f32(x, 1.44269504f));
    float32x4_t r = vfmsq_n_f32(x, n, 0.693359375f), p = vdupq_n_f32(1.0f / 5040);
    r = vfmsq_n_f32(r, n, -2.12194440e-4f);
#pragma GCC unroll 7
    for (int i = 0; i < 7; i++)
        p = vfmaq_f32(vdupq_n_f32(factor[i]), p, r);
    const int32x4_t power = vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23);
    const uint32x4_t tiny = vcltq_f32(x, vdupq_n_f32(-87.0f));
    return vbslq_f32(tiny, vdupq_n_f32(0), vmulq_f32(p, vreinterpretq_f32_s32(power)));
}

static void swiglu(const float *gate, const float *up, float *out, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        const float32x4_t g = load_some(gate + i, n - i), u = load_some(up + i, n - i);
        const float32x4_t neg = vnegq_f32(g);
        const uint32x4_t huge = vcgtq_f32(neg, vdupq_n_f32(88.0f)); /* exp would overflow */
        const float32x4_t e = vbslq_f32(huge, vdupq_n_f32(INFINITY), exp_f32(neg));
        const float32x4_t v = vmulq_f32(vdivq_f32(g, vaddq_f32(vdupq_n_f32(1), e)), u);
        store_some(out + i, v, n - i < LANES ? (uint32_t)(n - i) : LANES);
    }
}

/* Four keys or values, or one, from number `at` of a cache of f32 or f16 on. */
INLINE float32x4_t load_kv(const void *cache, size_t at, const int half)
{
    if (half)
        return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16((const uint16_t *)cache + at)));
    return vld1q_f32((const float *)cache + at);
}

INLINE float one_kv(const void *cache, size_t at, const int half)
{
    if (half)
        return vgetq_lane_f32(
            vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(((const uint16_t *)cache)[at]))), 0);
    return ((const float *)cache)[at];
}

INLINE float dot(const float *a, const void *b, size_t at, uint32_t n, const int half)
{
    float32x4_t s0 = vdupq_n_f32(0), s1 = s0;
    uint32_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        s0 = vfmaq_f32(s0, vld1q_f32(a + i), load_kv(b, at + i, half));
        s1 = vfmaq_f32(s1, vld1q_f32(a + i + LANES), load_kv(b, at + i + LANES, half));
    }
    float total = vaddvq_f32(vaddq_f32(s0, s1));
    for (; i < n; i++)
        total += a[i] * one_kv(b, at + i, half);
    return total;
}

/* out [dim] = sum of scores[p] * v[p] / total, 16 columns at a time. */
INLINE void weigh_values(const void *v, uint32_t dim, uint32_t n, const float *scores,
                         float inverse, float *out, const int half)
{
    uint32_t i = 0;
    for (; i + 4 * LANES <= dim; i += 4 * LANES) {
        float32x4_t s[4] = { vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0) };
        for (uint32_t p = 0; p < n; p++) {
#pragma GCC unroll 4
            for (uint32_t j = 0; j < 4; j++)
                s[j] =
                    vfmaq_n_f32(s[j], load_kv(v, (size_t)p * dim + i + j * LANES, half), scores[p]);
        }
#pragma GCC unroll 4
        for (uint32_t j = 0; j < 4; j++)
            vst1q_f32(out + i + j * LANES, vmulq_n_f32(s[j], inverse));
    }
    for (; i < dim; i++) {
        float s = 0.0f;
        for (uint32_t p = 0; p < n; p++)
            s += scores[p] * one_kv(v, (size_t)p * dim + i, half);
        out[i] = s * inverse;
    }
}

/* scores become exp(score - the largest); returns one over their sum. */
static float soften(float *scores, uint32_t n)
{
    float largest = -INFINITY, total = 0;
    for (uint32_t p = 0; p < n; p++)
        largest = scores[p] > largest ? scores[p] : largest;
    for (uint32_t p = 0; p < n; p += LANES) {
        const uint32_t left = n - p < LANES ? n - p : LANES;
        store_some(scores + p,
                   exp_f32(vsubq_f32(load_some(scores + p, left), vdupq_n_f32(largest))), left);
    }
    for (uint32_t p = 0; p < n; p++)
        total += scores[p];
    return 1.0f / total;
}

INLINE void attend_all(const float *q, uint32_t n_heads, const void *k, const void *v, uint32_t dim,
                       uint32_t n, float scale, float *scores, float *out, const int half)
{
    for (uint32_t h = 0; h < n_heads; h++, q += dim, out += dim) {
        for (uint32_t p = 0; p < n; p++)
            scores[p] = dot(q, k, (size_t)p * dim, dim, half) * scale;
        weigh_values(v, dim, n, scores, soften(scores, n), out, half);
    }
}

/* Eight levels of a Q8_0 cache. */
INLINE void levels_of(const int8_t *p, float32x4_t x[2])
{
    const int16x8_t wide = vmovl_s8(vld1_s8(p));
    x[0] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
    x[1] = vcvtq_f32_s32(vmovl_s16(vget_high_s16(wide)));
}

/* a [dim] and one key, whose scales are d: the products of 32 are summed before they are scaled. */
INLINE float dot8(const float *a, const int8_t *k, const uint16_t *d, uint32_t dim)
{
    float32x4_t s0 = vdupq_n_f32(0), s1 = s0;
    for (uint32_t b = 0; b < dim / BLOCK; b++, a += BLOCK, k += BLOCK) {
        float32x4_t t0 = vdupq_n_f32(0), t1 = t0, x[2];
#pragma GCC unroll 4
        for (int i = 0; i < BLOCK; i += 2 * LANES) {
            levels_of(k + i, x);
            t0 = vfmaq_f32(t0, vld1q_f32(a + i), x[0]);
            t1 = vfmaq_f32(t1, vld1q_f32(a + i + LANES), x[1]);
        }
        const float scale = one_kv(d, b, 1);
        s0 = vfmaq_n_f32(s0, t0, scale);
        s1 = vfmaq_n_f32(s1, t1, scale);
    }
    return vaddvq_f32(vaddq_f32(s0, s1));
}

/* out [32] = sum of scores[p] * v[p] * inverse, of one block of columns. */
INLINE void weigh_block(const int8_t *v, const uint16_t *d, uint32_t dim, uint32_t n,
                        const float *scores, float inverse, float *out)
{
    float32x4_t s[8];
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++)
        s[j] = vdupq_n_f32(0);
    for (uint32_t p = 0; p < n; p++, v += dim, d += dim / BLOCK) {
        const float e = scores[p] * one_kv(d, 0, 1);
#pragma GCC unroll 4
        for (int j = 0; j < 8; j += 2) {
            float32x4_t x[2];
            levels_of(v + j * LANES, x);
            s[j] = vfmaq_n_f32(s[j], x[0], e);
            s[j + 1] = vfmaq_n_f32(s[j + 1], x[1], e);
        }
    }
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++)
        vst1q_f32(out + j * LANES, vmulq_n_f32(s[j], inverse));
}

static void attend8(const float *q, uint32_t n_heads, const struct jm_kv8 *kv, uint32_t dim,
                    uint32_t n, float scale, float *scores, float *out)
{
    const uint32_t blocks = dim / BLOCK;
    for (uint32_t h = 0; h < n_heads; h++, q += dim, out += dim) {
        for (uint32_t p = 0; p < n; p++)
            scores[p] = dot8(q, kv->k + (size_t)p * dim, kv->dk + (size_t)p * blocks, dim) * scale;
        const float inverse = soften(scores, n);
        for (uint32_t b = 0; b < blocks; b++)
            weigh_block(kv->v + b * BLOCK, kv->dv + b, dim, n, scores, inverse, out + b * BLOCK);
    }
}

static void attend(const float *q, uint32_t n_heads, const float *k, const float *v, uint32_t dim,
                   uint32_t n, float scale, float *scores, float *out)
{
    attend_all(q, n_heads, k, v, dim, n, scale, scores, out, 0);
}

static void attend16(const float *q, uint32_t n_heads, const uint16_t *k, const uint16_t *v,
                     uint32_t dim, uint32_t n, float scale, float *scores, float *out)
{
    attend_all(q, n_heads, k, v, dim, n, scale, scores, out, 1);
}

static void add(const float *a, const float *b, float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

static void from_half(const uint16_t *x, float *y, uint32_t n)
{
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        vst1q_f32(y + i, load_kv(x, i, 1));
    for (; i < n; i++)
        y[i] = one_kv(x, i, 1);
}

static void to_half(const float *x, uint16_t *y, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        y[i] = vget_lane_u16(vreinterpret_u16_f16(vcvt_f16_f32(vdupq_n_f32(x[i]))), 0);
}

static void rms_norm(const float *x, const float *w, float eps, float *out, uint32_t n)
{
    float r = 1.0f / sqrtf(dot(x, x, 0, n, 0) / (float)n + eps);
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        vst1q_f32(out + i, vmulq_f32(vmulq_n_f32(vld1q_f32(x + i), r), vld1q_f32(w + i)));
    for (; i < n; i++)
        out[i] = x[i] * r * w[i];
}

static void rope(const float *x, const float *turn, uint32_t dim, float *out)
{
    const uint32_t half = dim / 2;
    uint32_t i = 0;
    for (; i + LANES <= half; i += LANES) {
        const float32x4_t c = vld1q_f32(turn + i), s = vld1q_f32(turn + half + i);
        const float32x4_t a = vld1q_f32(x + i), b = vld1q_f32(x + half + i);
        vst1q_f32(out + i, vsubq_f32(vmulq_f32(a, c), vmulq_f32(b, s)));
        vst1q_f32(out + half + i, vaddq_f32(vmulq_f32(a, s), vmulq_f32(b, c)));
    }
    for (; i < half; i++) {
        const float c = turn[i], s = turn[half + i], a = x[i], b = x[half + i];
        out[i] = a * c - b * s;
        out[half + i] = a * s + b * c;
    }
}

/* As jm_cpu_quantise, bit for bit: FMAX keeps NaN, and FCVTNS rounds ties to even. */
static void quantise(const float *x, uint32_t cols, int8_t *q, float *d, int32_t *sum)
{
    for (uint32_t b = 0; b < cols / BLOCK; b++, x += BLOCK, q += BLOCK) {
        float32x4_t v[8], top = vdupq_n_f32(0);
        int32x4_t total = vdupq_n_s32(0);
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            v[i] = vld1q_f32(x + LANES * i);
            top = vmaxq_f32(top, vabsq_f32(v[i]));
        }
        const float largest = vmaxvq_f32(top);
        if (!(largest <= FLT_MAX)) {
            memset(q, 0, BLOCK);
            d[b] = NAN;
            sum[b] = 0;
            continue;
        }
        const float inverse = largest > 1e-30f ? 127.0f / largest : 0.0f;
#pragma GCC unroll 4
        for (int i = 0; i < 8; i += 2) {
            const int32x4_t low = vcvtnq_s32_f32(vmulq_n_f32(v[i], inverse));
            const int32x4_t high = vcvtnq_s32_f32(vmulq_n_f32(v[i + 1], inverse));
            total = vaddq_s32(total, vaddq_s32(low, high));
            vst1_s8(q + LANES * i, vmovn_s16(vcombine_s16(vmovn_s32(low), vmovn_s32(high))));
        }
        d[b] = largest / 127.0f;
        sum[b] = vaddvq_s32(total);
    }
}

#define JM_NEON_SET(set_name)                                                                      \
    {                                                                                              \
        .isa = set_name, .pack = { .group = GROUP, .f16 = JM_PACK_F16 }, .k_block = 1,             \
        .linear = linear, .attend = attend, .attend16 = attend16, .attend8 = attend8,              \
        .to_half = to_half, .from_half = from_half, .add = add, .swiglu = swiglu,                  \
        .gelu = jm_cpu_gelu, .rms_norm = rms_norm, .rope = rope, .argmax = jm_cpu_argmax,          \
        .quantise = quantise                                                                       \
    }

#endif
