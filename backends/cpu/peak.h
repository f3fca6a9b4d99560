/* SPDX-License-Identifier: Apache-2.0 */
/* What a kernel set can reach at best: reading memory, and multiplying what is in registers. */
#ifndef JM_BACKENDS_CPU_PEAK_H
#define JM_BACKENDS_CPU_PEAK_H

#include <stddef.h>
#include <stdint.h>

#include "backends/backend.h"

enum { JM_PEAK_STRIDE = 256 }; /* what is read is a multiple of this many bytes */

/* Multiplies ones by ones for n rounds and adds up, in many sums that do not wait for each other.
 * Returns the total: as many as there were multiplications, so that the count is what the machine
 * did. n <= JM_PEAK_ROUNDS keeps every sum exact. */
typedef double jm_peak_mul_fn(uint64_t n);
enum { JM_PEAK_ROUNDS = 1 << 22 };

/* Reads bytes from a 64-byte aligned p on and returns the sum of its 64-bit words. */
typedef uint64_t jm_peak_read_fn(const void *p, size_t bytes);

struct jm_peak_mul {
    const char *how;     /* "vpdpbusd, 512 bits" */
    uint32_t each;       /* multiplications a round */
    jm_peak_mul_fn *run; /* NULL: the set has no such instruction */
};

/* One kernel set's. */
struct jm_cpu_peaks {
    const char *isa;
    const char *loads; /* how it reads */
    jm_peak_read_fn *read;
    struct jm_peak_mul mul[JM_ROOF_KINDS]; /* [JM_ROOF_READ] unused */
};

/* Those of the other architecture are not in the build. */
extern const struct jm_cpu_peaks jm_peaks_scalar, jm_peaks_avx2, jm_peaks_avx512;
extern const struct jm_cpu_peaks jm_peaks_neon, jm_peaks_neon_dotprod, jm_peaks_neon_i8mm;
/* Needs more of the processor than the rest of its set; jm_cpu_peaks_mul says if it may run. */
jm_peak_mul_fn jm_peak_avx512_bf16;

/* NULL: none are known of this set. */
const struct jm_cpu_peaks *jm_cpu_peaks_for(const char *isa);
/* k->mul[kind], with run NULL where this machine cannot run it. */
struct jm_peak_mul jm_cpu_peaks_mul(const struct jm_cpu_peaks *k, enum jm_roof_kind kind);

/* As jm_backend_ops.roofs: read bandwidth of each cache level that hwloc knows and of memory, then
 * the multipliers; the best of several short measurements. */
jm_status jm_cpu_roofs(const char *isa, uint32_t threads, struct jm_roof out[JM_MAX_ROOFS],
                       uint32_t *n, jm_err *err);

#endif
