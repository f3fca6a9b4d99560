/* SPDX-License-Identifier: Apache-2.0 */
/* The normal noise that a picture starts from: the same bits on every machine, backend and batch.
 *
 * Only integer arithmetic and the IEEE operations + - * / sqrt are used, each of which has one
 * right result; logarithm, sine and cosine are polynomials of our own, since C libraries differ in
 * the last bit of theirs. It is computed on the host in f64 and rounded once to f32. */
#ifndef JM_WORKLOADS_IMAGEGEN_NOISE_H
#define JM_WORKLOADS_IMAGEGEN_NOISE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Philox 4x32 with 10 rounds: four random words of a counter and a key. Source: Salmon, Moraes,
 * Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. */
void jm_philox4x32_10(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/**
 * out[i], i < n: independent N(0, 1), a function of seed and i alone.
 *
 * Values 4b .. 4b+3 come from the words x of counter {low b, high b, 0, 0} under key {low seed,
 * high seed}, by Box and Muller: r cos a, r sin a with r = sqrt(-2 ln((x[0] + 1) / 2^32)),
 * a = 2 pi x[1] / 2^32; the other two from x[2] and x[3] likewise.
 */
void jm_noise_fill(uint64_t seed, float *out, size_t n);

/* Reads exactly n values from a file of f32, little endian. JM_ENOTFOUND, JM_EIO; JM_EINPUT: the
 * file has another size, or a value is not finite. */
jm_status jm_noise_read(const char *path, float *out, size_t n, jm_err *err);

#endif
