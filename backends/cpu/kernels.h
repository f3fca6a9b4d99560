/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of the cpu backend: one table a set, chosen once when a device is opened. The scalar
 * set is the reference: plain C, summed in f64, weights decoded from the file's own format. The
 * others work on repacked weights (pack.h) and are checked against it by tests/test_kernels.c. */
#ifndef JM_BACKENDS_CPU_KERNELS_H
#define JM_BACKENDS_CPU_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "backends/cpu/pack.h"

/* Inputs of a linear, rows x cols. q, d, sum are there when the weight's kind is quantised. */
struct jm_acts {
    const float *f;     /* [rows, cols] */
    const int8_t *q;    /* [rows, cols] round(f / d) */
    const float *d;     /* [rows, cols / 32] largest |f| of the 32, / 127 */
    const int32_t *sum; /* [rows, cols / 32] sum of q */
    uint32_t cols;
};

/* y[r, o] = sum_k x[r, k] * w[o, k] for all rows and the outputs of groups [g0, g1). ldy: columns
 * of y. scratch: f32 [cols], this thread's. */
typedef void jm_linear_fn(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                          float *y, size_t ldy, uint32_t g0, uint32_t g1, float *scratch);

/* One row, one head: out [dim] = softmax(scale * q.K) V over positions 0..n-1. q [dim]; k, v: rows
 * of `stride` floats. scores: f32 [n], this thread's. */
typedef void jm_attend_fn(const float *q, const float *k, const float *v, size_t stride,
                          uint32_t dim, uint32_t n, float scale, float *scores, float *out);

/* out[i] = gate[i] / (1 + exp(-gate[i])) * up[i] */
typedef void jm_swiglu_fn(const float *gate, const float *up, float *out, size_t n);

/* One row of f32 [cols], cols % 32 == 0, as the quantised linears take it: see jm_acts. A block of
 * zeros has d 0; one that is not finite has d NaN, so that it is not hidden. */
typedef void jm_quantise_fn(const float *x, uint32_t cols, int8_t *q, float *d, int32_t *sum);

struct jm_cpu_kernels {
    const char *isa;
    uint32_t group; /* outputs that pack.h interleaves; 1: weights stay as the file has them */
    jm_linear_fn *linear;
    jm_attend_fn *attend;
    jm_swiglu_fn *swiglu;
    jm_quantise_fn *quantise;
};

jm_quantise_fn jm_cpu_quantise; /* in C, for every set without a faster one */

extern const struct jm_cpu_kernels jm_cpu_scalar, jm_cpu_avx2, jm_cpu_avx512;

/* isa by name, NULL for the best; NULL when this machine or its OS lacks it, or no such name. */
const struct jm_cpu_kernels *jm_cpu_kernels_for(const char *isa);

#endif
