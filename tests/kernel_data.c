/* SPDX-License-Identifier: Apache-2.0 */
/* See kernel_data.h. */
#include "tests/kernel_data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 32 };

float jm_random_float(jm_rng *r, float scale)
{
    return (float)(jm_rng_double(r) * 2 - 1) * scale;
}

void *jm_random_weight(jm_rng *r, jm_format f, uint32_t rows, uint32_t cols, float scale)
{
    size_t bytes = jm_format_row_bytes(f, cols);
    const struct jm_format_info *fi = jm_format_info(f);
    uint8_t *data = malloc(rows * bytes);
    float *row = malloc(cols * sizeof *row);
    for (uint32_t o = 0; o < rows; o++) {
        uint8_t *dst = data + o * bytes;
        for (uint32_t k = 0; k < cols; k++)
            row[k] = jm_random_float(r, scale);
        if (jm_format_encode(f, row, dst, cols))
            continue;
        for (size_t i = 0; i < bytes; i++)
            dst[i] = (uint8_t)jm_rng_u64(r);
        for (size_t b = 0; b < bytes / fi->block_bytes; b++) { /* STQ1_0: a sane scale */
            uint16_t d = jm_f32_to_f16(jm_random_float(r, scale));
            memcpy(dst + (b + 1) * fi->block_bytes - 2, &d, 2);
        }
    }
    free(row);
    return data;
}

struct jm_random_acts jm_random_acts(jm_rng *r, uint32_t rows, uint32_t cols, float scale, int bits,
                                     uint32_t together)
{
    uint32_t n = cols / BLOCK, levels = (1u << bits) - 1;
    struct jm_random_acts a = { .cols = cols,
                                .f = malloc(rows * cols * sizeof(float)),
                                .d = malloc((rows * n + 1) * sizeof(float)),
                                .q = malloc(rows * cols),
                                .sum = calloc(rows * n + 1, sizeof(int32_t)),
                                .sum16 = calloc(rows * n * 2 + 1, sizeof(int32_t)),
                                .dsum = calloc(rows * n + 1, sizeof(float)),
                                .q16 = malloc(rows * cols * sizeof(int16_t)) };
    for (uint32_t i = 0; i < rows * cols; i++) {
        uint32_t b = i / cols * n + i % cols / BLOCK;
        if (n == 0) {
            a.f[i] = jm_random_float(r, scale);
            continue;
        }
        if (i % cols % together == 0)
            a.d[b] = jm_rng_below(r, 9) ? fabsf(jm_random_float(r, scale)) : 0.0f;
        else if (i % cols % BLOCK == 0)
            a.d[b] = a.d[b - 1];
        int q = (int)jm_rng_below(r, levels) - (int)(levels / 2);
        if (i % 7 == 0) /* the extremes, where sums are largest */
            q = (int)(levels / 2);
        a.q[i] = (int8_t)q;
        a.q16[i] = (int16_t)q;
        a.sum[b] += q;
        a.f[i] = (float)q * a.d[b];
    }
    jm_cpu_sums(a.q, a.d, a.sum, rows * n * BLOCK, a.dsum, a.sum16);
    return a;
}

uint32_t jm_rounded_together(const struct jm_packed *w)
{
    return w->kind == JM_PACK_STQ_SUMS ? 2 * BLOCK : BLOCK;
}

void jm_random_acts_free(struct jm_random_acts *a)
{
    free(a->f);
    free(a->d);
    free(a->q);
    free(a->sum);
    free(a->sum16);
    free(a->dsum);
    free(a->q16);
}

struct jm_acts jm_random_acts_from(const struct jm_random_acts *a, size_t row)
{
    size_t at = row * a->cols, block = row * (a->cols / BLOCK);
    return (struct jm_acts){ .f = a->f + at,
                             .q = a->q + at,
                             .d = a->d + block,
                             .sum = a->sum + block,
                             .dsum = a->dsum + block,
                             .sum16 = a->sum16 + 2 * block,
                             .q16 = a->q16 + at,
                             .d16 = a->d + block,
                             .cols = a->cols };
}

static int8_t random_level(jm_rng *r)
{
    uint32_t n = (uint32_t)jm_rng_below(r, 400);
    return (int8_t)(n < 255 ? (int)n - 127 : n < 330 ? 127 : -127);
}

void jm_random_kv8(jm_rng *r, uint32_t n, uint32_t dim, struct jm_random_kv8 *out)
{
    for (size_t i = 0; i < (size_t)n * dim; i++) {
        out->k[i] = random_level(r);
        out->v[i] = random_level(r);
    }
    for (size_t i = 0; i < (size_t)n * dim / 32; i++) {
        bool zero = jm_rng_below(r, 9) == 0;
        out->dk[i] = jm_f32_to_f16(zero ? 0 : jm_random_float(r, 3.0f / 127));
        out->dv[i] = jm_f32_to_f16(zero ? 0 : jm_random_float(r, 1.0f / 127));
    }
}

void jm_block_kv8(const struct jm_random_kv8 *in, uint32_t n, uint32_t dim, uint32_t k_block,
                  struct jm_random_kv8 *out)
{
    *out = *in;
    for (uint32_t p = 0; p < JM_KV8_POSITIONS / k_block * k_block; p++) {
        for (uint32_t i = 0; i < dim; i++)
            out->k[jm_kv8_level(p, i, dim, k_block)] = p < n ? in->k[p * dim + i] : -128;
        for (uint32_t b = 0; b < dim / 32; b++)
            out->dk[jm_kv8_scale(p, b, dim, k_block)] = p < n ? in->dk[p * (dim / 32) + b] : 0x7e00;
    }
}

struct jm_kv8 jm_kv8_of(const struct jm_random_kv8 *a)
{
    return (struct jm_kv8){ .k = a->k, .dk = a->dk, .v = a->v, .dv = a->dv };
}
