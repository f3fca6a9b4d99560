/* SPDX-License-Identifier: Apache-2.0 */
/* Encoders of Q4_K and Q6_K; format_kquant.c draws the blocks. Both look for the least sum of
 * squared errors: for each group of weights they try a range of scales, fit scale and offset to the
 * rounded levels by least squares (the levels of a k-means in one dimension, evenly spaced), round
 * those to the block's small integers, try their neighbours, and fit the block's half-precision
 * units to the outcome. */
#include <math.h>
#include <string.h>

#include "backends/format_codecs.h"

enum { BLOCK = 256 };

/* To the nearest whole number in [low, high]; NaN gives low. Adding 1.5 * 2^23 leaves a float no
 * bits for a fraction, which compilers turn into vector code, unlike rintf. */
static inline float level(float v, float low, float high)
{
    v = v > low ? v : low;
    v = v < high ? v : high;
    return (v + 12582912.0f) - 12582912.0f;
}

/* Sums run in this many lanes, as one vector. */
enum { LANES = 4 };

static inline float sum(const float v[LANES])
{
    return (v[0] + v[2]) + (v[1] + v[3]);
}

/* The half that is written for v, as a float, and its bits. Infinity is kept out, so that zero
 * levels stay zero. */
static float half_of(float v, uint16_t *bits)
{
    v = v < 65504.0f ? v : 65504.0f;
    v = v > -65504.0f ? v : -65504.0f;
    *bits = jm_f32_to_f16(v);
    return jm_f16_to_f32(*bits);
}

/* ---- Q4_K: x = a q - b, a and b at least 0, q in 0..15 ---- */

enum { G4 = 32, N4 = BLOCK / G4 };

struct line {
    float a, b, error; /* error: sum of squares */
};

/* Levels of x for a line. Returns the sum of squared errors. */
static float levels4(const float *x, float a, float b, float *q)
{
    const float inverse = a > 0 ? 1 / a : 0;
    float error[LANES] = { 0 };
    for (int i = 0; i < G4; i++) {
        q[i] = level((x[i] + b) * inverse, 0, 15);
        float e = x[i] - (a * q[i] - b);
        error[i % LANES] += e * e;
    }
    return sum(error);
}

/* The best a and b for given levels. */
static struct line fit4(const float *x, const float *q)
{
    float q1[LANES] = { 0 }, q2[LANES] = { 0 }, x1[LANES] = { 0 }, qx[LANES] = { 0 };
    for (int i = 0; i < G4; i++) {
        q1[i % LANES] += q[i];
        q2[i % LANES] += q[i] * q[i];
        x1[i % LANES] += x[i];
        qx[i % LANES] += q[i] * x[i];
    }
    const float sq = sum(q1), sqq = sum(q2), sx = sum(x1), sqx = sum(qx);
    const float det = G4 * sqq - sq * sq;
    struct line l = { 0 };
    if (det > 0) {
        l.a = (G4 * sqx - sq * sx) / det;
        l.b = (l.a * sq - sx) / G4;
    }
    if (!(l.b >= 0)) { /* no offset below zero: a line through the origin */
        l.b = 0;
        l.a = sqq > 0 ? sqx / sqq : 0;
    }
    if (!(l.a >= 0))
        l.a = 0;
    return l;
}

/* Scales that stretch the range over 12.5 to 17 steps, each improved once. */
static struct line search4(const float *x)
{
    float low = 0, high = x[0], q[G4];
    for (int i = 0; i < G4; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    struct line best = { .b = -low, .error = INFINITY };
    for (float steps = 12.5f; steps <= 17.0f; steps += 0.5f) {
        struct line l = { .a = (high - low) / steps, .b = -low };
        for (int round = 0; round < 2; round++) {
            l.error = levels4(x, l.a, l.b, q);
            if (l.error < best.error)
                best = l;
            l = fit4(x, q);
        }
    }
    return best;
}

struct block4 {
    float d, dmin;
    uint16_t d_bits, dmin_bits;
    float scale[N4], offset[N4]; /* 0..63 */
    float q[BLOCK];
};

/* Scale and offset of each group, in units of d and dmin: the nearest, or a neighbour of it. */
static float round4(const float *x, const struct line *lines, struct block4 *b)
{
    const float to_scale = b->d > 0 ? 1 / b->d : 0, to_offset = b->dmin > 0 ? 1 / b->dmin : 0;
    float total = 0, q[G4];
    for (int g = 0; g < N4; g++, x += G4) {
        const float s = level(lines[g].a * to_scale, 0, 63);
        const float m = level(lines[g].b * to_offset, 0, 63);
        float least = INFINITY;
        for (int i = 0; i < 9; i++) {
            const int at = (i + 4) % 9; /* the nearest first: it stays where others are no better */
            const float si = level(s + (float)(at % 3 - 1), 0, 63);
            const float mi = level(m + (float)(at / 3 - 1), 0, 63);
            const float error = levels4(x, b->d * si, b->dmin * mi, q);
            if (error < least || i == 0) {
                least = error;
                b->scale[g] = si;
                b->offset[g] = mi;
                memcpy(b->q + g * G4, q, sizeof q);
            }
        }
        total += least;
    }
    return total;
}

/* d and dmin by least squares of x = d (scale q) - dmin offset over the whole block. */
static void refit4(const float *x, struct block4 *b)
{
    double uu = 0, uv = 0, vv = 0, ux = 0, vx = 0;
    for (int i = 0; i < BLOCK; i++) {
        const double u = (double)b->scale[i / G4] * (double)b->q[i];
        const double v = (double)b->offset[i / G4];
        uu += u * u;
        uv += u * v;
        vv += v * v;
        ux += u * (double)x[i];
        vx += v * (double)x[i];
    }
    const double det = uu * vv - uv * uv;
    if (!(det > 1e-9 * uu * vv))
        return;
    const double d = (ux * vv - uv * vx) / det, dmin = (uv * ux - uu * vx) / det;
    if (d > 0 && dmin > 0) {
        b->d = half_of((float)d, &b->d_bits);
        b->dmin = half_of((float)dmin, &b->dmin_bits);
    }
}

static void store4(const struct block4 *b, uint8_t *dst)
{
    uint8_t *packed = dst + 4, *qs = dst + 16;
    jm_store_u16(dst, b->d_bits);
    jm_store_u16(dst + 2, b->dmin_bits);
    for (int g = 0; g < 4; g++) {
        const int s = (int)b->scale[g + 4], m = (int)b->offset[g + 4];
        packed[g] = (uint8_t)((int)b->scale[g] | s >> 4 << 6);
        packed[g + 4] = (uint8_t)((int)b->offset[g] | m >> 4 << 6);
        packed[g + 8] = (uint8_t)((s & 15) | (m & 15) << 4);
    }
    for (int i = 0; i < BLOCK / 2; i++) {
        const int at = i / 32 * 64 + i % 32;
        qs[i] = (uint8_t)((int)b->q[at] | (int)b->q[at + 32] << 4);
    }
}

void jm_encode_q4_k(const float *src, uint8_t *dst, size_t n)
{
    for (; n >= BLOCK; n -= BLOCK, src += BLOCK, dst += 144) {
        struct line lines[N4];
        struct block4 b = { 0 }, best;
        float a = 0, offset = 0, least;
        for (int g = 0; g < N4; g++) {
            lines[g] = search4(src + g * G4);
            a = lines[g].a > a ? lines[g].a : a;
            offset = lines[g].b > offset ? lines[g].b : offset;
        }
        b.d = half_of(a / 63, &b.d_bits);
        b.dmin = half_of(offset / 63, &b.dmin_bits);
        least = round4(src, lines, &b);
        best = b;
        refit4(src, &b);
        if (round4(src, lines, &b) < least)
            best = b;
        store4(&best, dst);
    }
}

/* ---- Q6_K: x = a q, q in -32..31, a of either sign ---- */

enum { G6 = 16, N6 = BLOCK / G6 };

static float levels6(const float *x, float a, float *q)
{
    const float inverse = a != 0.0f ? 1 / a : 0;
    float error[LANES] = { 0 };
    for (int i = 0; i < G6; i++) {
        q[i] = level(x[i] * inverse, -32, 31);
        float e = x[i] - a * q[i];
        error[i % LANES] += e * e;
    }
    return sum(error);
}

/* The weight of largest magnitude lands on a level about -32, as there is one more below zero. */
static float search6(const float *x)
{
    float extreme = 0, least = INFINITY, best = 0, q[G6];
    for (int i = 0; i < G6; i++)
        extreme = fabsf(x[i]) > fabsf(extreme) ? x[i] : extreme;
    for (float steps = 29.0f; steps <= 33.0f; steps += 0.5f) {
        float a = -extreme / steps;
        for (int round = 0; round < 2; round++) {
            const float error = levels6(x, a, q);
            float qq = 0, qx = 0;
            if (error < least) {
                least = error;
                best = a;
            }
            for (int i = 0; i < G6; i++) {
                qq += q[i] * q[i];
                qx += q[i] * x[i];
            }
            a = qq > 0 ? qx / qq : 0;
        }
    }
    return best;
}

struct block6 {
    float d;
    uint16_t d_bits;
    float scale[N6]; /* -128..127 */
    float q[BLOCK];
};

static float round6(const float *x, const float *a, struct block6 *b)
{
    const float inverse = b->d != 0.0f ? 1 / b->d : 0;
    float total = 0, q[G6];
    for (int g = 0; g < N6; g++, x += G6) {
        const float s = level(a[g] * inverse, -128, 127);
        float least = INFINITY;
        for (int i = 0; i < 3; i++) {
            const float si = level(s + (float)((i + 1) % 3 - 1), -128, 127);
            const float error = levels6(x, b->d * si, q);
            if (error < least || i == 0) {
                least = error;
                b->scale[g] = si;
                memcpy(b->q + g * G6, q, sizeof q);
            }
        }
        total += least;
    }
    return total;
}

static void refit6(const float *x, struct block6 *b)
{
    double uu = 0, ux = 0;
    for (int i = 0; i < BLOCK; i++) {
        const double u = (double)b->scale[i / G6] * (double)b->q[i];
        uu += u * u;
        ux += u * (double)x[i];
    }
    if (uu > 0)
        b->d = half_of((float)(ux / uu), &b->d_bits);
}

static void store6(const struct block6 *b, uint8_t *dst)
{
    memset(dst, 0, 192);
    for (int i = 0; i < BLOCK; i++) {
        const int v = (int)b->q[i] + 32, half = i / 128, k = i % 128 / 32, l = i % 32;
        dst[64 * half + k % 2 * 32 + l] |= (uint8_t)((v & 15) << (k / 2 * 4));
        dst[128 + 32 * half + l] |= (uint8_t)(v >> 4 << (2 * k));
    }
    for (int g = 0; g < N6; g++)
        dst[192 + g] = (uint8_t)(int8_t)b->scale[g];
    jm_store_u16(dst + 208, b->d_bits);
}

void jm_encode_q6_k(const float *src, uint8_t *dst, size_t n)
{
    for (; n >= BLOCK; n -= BLOCK, src += BLOCK, dst += 210) {
        float a[N6], largest = 0, least;
        struct block6 b = { 0 }, best;
        for (int g = 0; g < N6; g++) {
            a[g] = search6(src + g * G6);
            largest = fabsf(a[g]) > fabsf(largest) ? a[g] : largest;
        }
        if (largest != 0.0f)
            b.d = half_of(-largest / 128, &b.d_bits);
        least = round6(src, a, &b);
        best = b;
        for (int i = 0; i < 2; i++) {
            refit6(src, &b);
            const float error = round6(src, a, &b);
            if (error < least) {
                least = error;
                best = b;
            }
        }
        store6(&best, dst);
    }
}
