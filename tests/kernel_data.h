/* SPDX-License-Identifier: Apache-2.0 */
/* Random weights and activations for the test and the benchmark of kernels. Out of memory ends in
 * a crash: these are test programs. */
#ifndef JM_TESTS_KERNEL_DATA_H
#define JM_TESTS_KERNEL_DATA_H

#include "backends/cpu/kernels.h"
#include "base/rng.h"

/* Uniform in [-scale, scale). */
float jm_random_float(jm_rng *r, float scale);

/* Random levels in the format's own encoding: the caller frees them. */
void *jm_random_weight(jm_rng *r, jm_format f, uint32_t rows, uint32_t cols, float scale);

struct jm_random_acts {
    uint32_t cols;
    float *f, *d;
    int8_t *q;
    int32_t *sum, *sum16;
    float *dsum;
    int16_t *q16;
};

/* Activations of which the integer ones are exactly what the float ones say, so that all kinds can
 * be held against one reference: f = q * d. bits: 8, or 14 for q16; together: how many have one d,
 * 32 or 64. */
struct jm_random_acts jm_random_acts(jm_rng *r, uint32_t rows, uint32_t cols, float scale, int bits,
                                     uint32_t together);
/* As the weight wants them. */
uint32_t jm_rounded_together(const struct jm_packed *w);
void jm_random_acts_free(struct jm_random_acts *a);

/* Those of `row` and the rows behind it. */
struct jm_acts jm_random_acts_from(const struct jm_random_acts *a, size_t row);

enum { JM_KV8_POSITIONS = 80, JM_KV8_BYTES = JM_KV8_POSITIONS * JM_ATTEND8_DIM };

/* Keys and values in Q8_0 of up to JM_KV8_POSITIONS positions of up to JM_ATTEND8_DIM values. */
struct jm_random_kv8 {
    int8_t k[JM_KV8_BYTES], v[JM_KV8_BYTES];
    uint16_t dk[JM_KV8_BYTES / 32], dv[JM_KV8_BYTES / 32];
};

/* n positions of dim values, with k_block 1: any levels, many of them the largest ones; keys up to
 * 3, values up to 1; scales of which some are zero. */
void jm_random_kv8(jm_rng *r, uint32_t n, uint32_t dim, struct jm_random_kv8 *out);
/* The same as a set wants it, with NaN for scales where no position is. n <= JM_KV8_POSITIONS. */
void jm_block_kv8(const struct jm_random_kv8 *in, uint32_t n, uint32_t dim, uint32_t k_block,
                  struct jm_random_kv8 *out);
struct jm_kv8 jm_kv8_of(const struct jm_random_kv8 *a);

#endif
