/* SPDX-License-Identifier: Apache-2.0 */
/* SplitMix64: a small seeded generator for shuffles and test data, the same on every machine.
 * Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014. */
#ifndef JM_BASE_RNG_H
#define JM_BASE_RNG_H

#include <stdint.h>

typedef struct jm_rng {
    uint64_t state; /* any value is a good seed */
} jm_rng;

static inline uint64_t jm_rng_u64(jm_rng *r)
{
    uint64_t z = (r->state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Uniform in [0, 1). */
static inline double jm_rng_double(jm_rng *r)
{
    return (double)(jm_rng_u64(r) >> 11) * 0x1p-53;
}

/* Uniform in [0, n), n > 0, without modulo bias (rejection). */
static inline uint64_t jm_rng_below(jm_rng *r, uint64_t n)
{
    uint64_t limit = UINT64_MAX - UINT64_MAX % n, v;
    do
        v = jm_rng_u64(r);
    while (v >= limit);
    return v % n;
}

#endif
