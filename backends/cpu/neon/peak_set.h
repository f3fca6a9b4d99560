/* SPDX-License-Identifier: Apache-2.0 */
/* What the peaks of the NEON sets share. Internal to neon/. */
#ifndef JM_BACKENDS_CPU_NEON_PEAK_SET_H
#define JM_BACKENDS_CPU_NEON_PEAK_SET_H

#include <arm_neon.h>

#include "backends/cpu/peak.h"

/* Keeps the compiler from knowing a value: what does not change would be computed once. */
#define HIDE(v) __asm__ volatile("" : "+w"(v))

enum { JM_NEON_SUMS = 16 }; /* the latency of four pipes */

jm_peak_read_fn jm_peak_neon_read;
jm_peak_mul_fn jm_peak_neon_f32, jm_peak_neon_i16;

#define JM_NEON_F32                                                                                \
    {                                                                                              \
        .how = "fmla, 128 bits", .each = JM_NEON_SUMS * 4, .run = jm_peak_neon_f32                 \
    }
#define JM_NEON_I16                                                                                \
    {                                                                                              \
        .how = "smlal, 128 bits", .each = JM_NEON_SUMS * 4, .run = jm_peak_neon_i16                \
    }

#endif
