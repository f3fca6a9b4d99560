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
 * be held against one reference: f = q * d. bits: 8, or 14 for q16. */
struct jm_random_acts jm_random_acts(jm_rng *r, uint32_t rows, uint32_t cols, float scale,
                                     int bits);
void jm_random_acts_free(struct jm_random_acts *a);

/* Those of `row` and the rows behind it. */
struct jm_acts jm_random_acts_from(const struct jm_random_acts *a, size_t row);

#endif
