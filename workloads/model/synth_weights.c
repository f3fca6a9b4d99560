/* SPDX-License-Identifier: Apache-2.0 */
/* Random weights in any format. Formats with a fast encoder hold uniform weights, encoded. For the
 * others every bit pattern of the levels is valid (but TQ2_0's fourth level), so levels are drawn
 * directly and the scale is set for the wanted standard deviation. Block layouts:
 * backends/format_*.c. */
#include <math.h>
#include <string.h>

#include "workloads/model/synth_internal.h"

/* Uniform in (-a, a) has the standard deviation a / sqrt(3). */
static void uniform_row(jm_rng *r, double std, size_t n, float *x)
{
    const float unit = (float)(std * sqrt(3.0) * 0x1p-31);
    for (size_t i = 0; i < n; i += 2) {
        uint64_t bits = jm_rng_u64(r);
        x[i] = (float)(int32_t)(uint32_t)bits * unit;
        if (i + 1 < n)
            x[i + 1] = (float)(int32_t)(uint32_t)(bits >> 32) * unit;
    }
}

static void random_bytes(jm_rng *r, uint8_t *p, size_t n)
{
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t v = jm_rng_u64(r);
        memcpy(p, &v, 8);
    }
    uint64_t v = jm_rng_u64(r);
    memcpy(p, &v, n);
}

static void put_f16(uint8_t *p, double v)
{
    uint16_t h = jm_f32_to_f16((float)v);
    p[0] = (uint8_t)(h & 0xff);
    p[1] = (uint8_t)(h >> 8);
}

/* The 12 bytes of Q4_K and Q5_K with all eight offsets equal to their scales, 32..63 each: low six
 * bits of bytes 0..3 and 4..7 for groups 0..3; for groups 4..7 the low nibbles in bytes 8..11 and
 * the upper two bits (2 or 3 here) on top of bytes 0..7. */
static void put_scales(jm_rng *r, uint8_t s[12])
{
    uint64_t bits = jm_rng_u64(r);
    for (int g = 0; g < 4; g++, bits >>= 10) {
        uint8_t first = (uint8_t)(32 | (bits & 31)), second = (uint8_t)(32 | (bits >> 5 & 31));
        s[g] = s[g + 4] = (uint8_t)(first | second >> 4 << 6);
        s[g + 8] = (uint8_t)((second & 15) * 0x11);
    }
}

/* Root mean square of levels 0..n-1 about their middle. */
static double spread(double n)
{
    return sqrt((n * n - 1) / 12);
}

/* Values scale * (level - middle): the offset is the scale times the middle. */
static void offset_block(jm_rng *r, jm_format f, double std, uint8_t *b)
{
    const double rms = 48.3; /* of scales uniform over 32..63 */
    double n = f == JM_Q4_K ? 16 : 32, d = std / (spread(n) * rms);
    put_f16(b, d);
    put_f16(b + 2, d * (n - 1) / 2);
    put_scales(r, b + 4);
}

static void q2_k_block(jm_rng *r, double std, uint8_t *b)
{
    double d = std / (spread(4) * 11.7); /* scales uniform over 8..15 */
    uint64_t bits = jm_rng_u64(r);
    for (int g = 0; g < 16; g++, bits >>= 3)
        b[g] = (uint8_t)((8 | (bits & 7)) * 0x11);
    put_f16(b + 80, d);
    put_f16(b + 82, d * 1.5);
}

/* Four levels of 0..2 a byte. */
static void tq2_0_block(jm_rng *r, double std, uint8_t *b)
{
    for (int i = 0; i < 64; i++) {
        uint32_t four = (uint32_t)jm_rng_below(r, 81), byte = 0;
        for (int j = 0; j < 8; j += 2, four /= 3)
            byte |= four % 3 << j;
        b[i] = (uint8_t)byte;
    }
    put_f16(b + 64, std / sqrt(2.0 / 3));
}

/* b holds random bytes; its scales are set. */
static void finish_block(jm_rng *r, jm_format f, double std, uint8_t *b)
{
    switch (f) {
    case JM_Q2_K:
        q2_k_block(r, std, b);
        break;
    case JM_Q3_K: /* scales over -32..31, levels over -4..3 */
        put_f16(b + 108, std / (18.5 * sqrt(5.5)));
        break;
    case JM_Q4_K:
    case JM_Q5_K:
        offset_block(r, f, std, b);
        break;
    case JM_Q6_K: /* scales over -128..127, levels over -32..31 */
        put_f16(b + 208, std / (73.9 * 18.5));
        break;
    case JM_IQ4_NL: /* levels of root mean square 67.4; a random sign makes their mean 0 */
        put_f16(b, (jm_rng_u64(r) & 1 ? std : -std) / 67.4);
        break;
    case JM_TQ2_0:
        tq2_0_block(r, std, b);
        break;
    default: /* STQ1_0: three of four weights are d or -d */
        put_f16(b + 40, std / sqrt(0.75));
        break;
    }
}

void jm_synth_rows(jm_rng *r, jm_format f, double std, size_t cols, uint64_t n, float *row,
                   uint8_t *dst)
{
    const struct jm_format_info *info = jm_format_info(f);
    size_t bytes = jm_format_row_bytes(f, cols);
    bool direct = info->block >= 256 || f == JM_IQ4_NL;
    for (uint64_t i = 0; i < n; i++, dst += bytes) {
        if (!direct) {
            uniform_row(r, std, cols, row);
            (void)jm_format_encode(f, row, dst, cols);
            continue;
        }
        random_bytes(r, dst, bytes);
        for (size_t at = 0; at < bytes; at += info->block_bytes)
            finish_block(r, f, std, dst + at);
    }
}
