/* SPDX-License-Identifier: Apache-2.0 */
/* Peaks of NEON; the sets with more instructions take from it what is theirs too. */
#include "backends/cpu/neon/peak_set.h"

uint64_t jm_peak_neon_read(const void *p, size_t bytes)
{
    const uint64_t *w = p;
    uint64x2_t sum[8];
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++)
        sum[j] = vdupq_n_u64(0);
    for (size_t i = 0; i < bytes / sizeof *w; i += 16) {
#pragma GCC unroll 8
        for (size_t j = 0; j < 8; j++)
            sum[j] = vaddq_u64(sum[j], vld1q_u64(w + i + 2 * j));
    }
#pragma GCC unroll 8
    for (int j = 1; j < 8; j++)
        sum[0] = vaddq_u64(sum[0], sum[j]);
    return vaddvq_u64(sum[0]);
}

double jm_peak_neon_f32(uint64_t n)
{
    float32x4_t sum[JM_NEON_SUMS], x = vdupq_n_f32(1.0f), y = x;
    double total = 0.0;
#pragma GCC unroll 16
    for (int j = 0; j < JM_NEON_SUMS; j++) {
        sum[j] = vdupq_n_f32(0.0f);
        HIDE(sum[j]);
    }
    for (uint64_t i = 0; i < n; i++) {
        HIDE(x);
#pragma GCC unroll 16
        for (int j = 0; j < JM_NEON_SUMS; j++)
            sum[j] = vfmaq_f32(sum[j], x, y);
    }
#pragma GCC unroll 16
    for (int j = 0; j < JM_NEON_SUMS; j++)
        total += (double)vgetq_lane_f32(sum[j], 0) + (double)vgetq_lane_f32(sum[j], 1) +
                 (double)vgetq_lane_f32(sum[j], 2) + (double)vgetq_lane_f32(sum[j], 3);
    return total;
}

static double mul_i8(uint64_t n)
{
    int32x4_t sum[JM_NEON_SUMS];
    int8x8_t x = vdup_n_s8(1), y = x;
    double total = 0.0;
#pragma GCC unroll 16
    for (int j = 0; j < JM_NEON_SUMS; j++) {
        sum[j] = vdupq_n_s32(0);
        HIDE(sum[j]);
    }
    for (uint64_t i = 0; i < n; i++) {
#pragma GCC unroll 16
        for (int j = 0; j < JM_NEON_SUMS; j++) {
            HIDE(x);
            sum[j] = vpadalq_s16(sum[j], vmull_s8(x, y));
        }
    }
#pragma GCC unroll 16
    for (int j = 0; j < JM_NEON_SUMS; j++)
        total += (double)vaddlvq_s32(sum[j]);
    return total;
}

double jm_peak_neon_i16(uint64_t n)
{
    int32x4_t sum[JM_NEON_SUMS];
    int16x4_t x = vdup_n_s16(1), y = x;
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
            sum[j] = vmlal_s16(sum[j], x, y);
    }
#pragma GCC unroll 16
    for (int j = 0; j < JM_NEON_SUMS; j++)
        total += (double)vaddlvq_s32(sum[j]);
    return total;
}

const struct jm_cpu_peaks jm_peaks_neon = {
    .isa = "neon",
    .loads = "128-bit loads",
    .read = jm_peak_neon_read,
    .mul = { [JM_ROOF_F32] = JM_NEON_F32,
             [JM_ROOF_I8] = { .how = "smull + sadalp, 128 bits",
                              .each = JM_NEON_SUMS * 8,
                              .run = mul_i8 },
             [JM_ROOF_I16] = JM_NEON_I16 },
};
