/* SPDX-License-Identifier: Apache-2.0 */
/* The peak of NEON's dot products of four int8. */
#include "backends/cpu/neon/peak_set.h"

static double mul_i8(uint64_t n)
{
    int32x4_t sum[JM_NEON_SUMS];
    int8x16_t x = vdupq_n_s8(1), y = x;
    double total = 0.0;
#pragma GCC unroll 16
    for (int j = 0; j < JM_NEON_SUMS; j++) {
        sum[j] = vdupq_n_s32(0);
        HIDE(sum[j]);
    }
    for (uint64_t i = 0; i < n; i++) {
        HIDE(x);
#pragma GCC unroll 16
        for (int j = 0; j < JM_NEON_SUMS; j++)
            sum[j] = vdotq_s32(sum[j], x, y);
    }
#pragma GCC unroll 16
    for (int j = 0; j < JM_NEON_SUMS; j++)
        total += (double)vaddlvq_s32(sum[j]);
    return total;
}

const struct jm_cpu_peaks jm_peaks_neon_dotprod = {
    .isa = "neon-dotprod",
    .loads = "128-bit loads",
    .read = jm_peak_neon_read,
    .mul = { [JM_ROOF_F32] = JM_NEON_F32,
             [JM_ROOF_I8] = { .how = "sdot, 128 bits", .each = JM_NEON_SUMS * 16, .run = mul_i8 },
             [JM_ROOF_I16] = JM_NEON_I16 },
};
