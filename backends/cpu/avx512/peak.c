/* SPDX-License-Identifier: Apache-2.0 */
/* Peaks of AVX-512 with VNNI. */
#include <immintrin.h>

#include "backends/cpu/peak.h"

/* Keeps the compiler from knowing a value: what does not change would be computed once, and sums
 * that are alike would become one. */
#define HIDE(v) __asm__ volatile("" : "+v"(v))

enum { SUMS = 16 }; /* more than the latency of two pipes asks for */

static uint64_t read_vectors(const void *p, size_t bytes)
{
    const char *at = p;
    __m512i sum[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++)
        sum[j] = _mm512_setzero_si512();
    for (size_t i = 0; i < bytes; i += 256) {
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            sum[j] = _mm512_add_epi64(sum[j], _mm512_load_si512(at + i + 64 * j));
    }
#pragma GCC unroll 4
    for (int j = 1; j < 4; j++)
        sum[0] = _mm512_add_epi64(sum[0], sum[j]);
    return (uint64_t)_mm512_reduce_add_epi64(sum[0]);
}

static double mul_f32(uint64_t n)
{
    __m512 sum[SUMS], x = _mm512_set1_ps(1.0f), y = x;
    double total = 0.0;
#pragma GCC unroll 16
    for (int j = 0; j < SUMS; j++) {
        sum[j] = _mm512_setzero_ps();
        HIDE(sum[j]);
    }
    for (uint64_t i = 0; i < n; i++) {
        HIDE(x);
#pragma GCC unroll 16
        for (int j = 0; j < SUMS; j++)
            sum[j] = _mm512_fmadd_ps(x, y, sum[j]);
    }
#pragma GCC unroll 16
    for (int j = 0; j < SUMS; j++) {
        float lane[16];
        _mm512_storeu_ps(lane, sum[j]);
        for (int l = 0; l < 16; l++)
            total += (double)lane[l];
    }
    return total;
}

static double total_i32(__m512i v)
{
    int32_t lane[16];
    double total = 0.0;
    _mm512_storeu_si512(lane, v);
    for (int l = 0; l < 16; l++)
        total += lane[l];
    return total;
}

static double mul_i8(uint64_t n)
{
    __m512i sum[SUMS], x = _mm512_set1_epi8(1), y = x;
    double total = 0.0;
#pragma GCC unroll 16
    for (int j = 0; j < SUMS; j++) {
        sum[j] = _mm512_setzero_si512();
        HIDE(sum[j]);
    }
    for (uint64_t i = 0; i < n; i++) {
        HIDE(x);
#pragma GCC unroll 16
        for (int j = 0; j < SUMS; j++)
            sum[j] = _mm512_dpbusd_epi32(sum[j], x, y);
    }
#pragma GCC unroll 16
    for (int j = 0; j < SUMS; j++)
        total += total_i32(sum[j]);
    return total;
}

static double mul_i16(uint64_t n)
{
    __m512i sum[SUMS], x = _mm512_set1_epi16(1), y = x;
    double total = 0.0;
#pragma GCC unroll 16
    for (int j = 0; j < SUMS; j++) {
        sum[j] = _mm512_setzero_si512();
        HIDE(sum[j]);
    }
    for (uint64_t i = 0; i < n; i++) {
        HIDE(x);
#pragma GCC unroll 16
        for (int j = 0; j < SUMS; j++)
            sum[j] = _mm512_dpwssd_epi32(sum[j], x, y);
    }
#pragma GCC unroll 16
    for (int j = 0; j < SUMS; j++)
        total += total_i32(sum[j]);
    return total;
}

const struct jm_cpu_peaks jm_peaks_avx512 = {
    .isa = "avx512",
    .loads = "512-bit loads",
    .read = read_vectors,
    .mul = { [JM_ROOF_F32] = { .how = "vfmadd, 512 bits", .each = SUMS * 16, .run = mul_f32 },
             [JM_ROOF_I8] = { .how = "vpdpbusd, 512 bits", .each = SUMS * 64, .run = mul_i8 },
             [JM_ROOF_I16] = { .how = "vpdpwssd, 512 bits", .each = SUMS * 32, .run = mul_i16 },
             [JM_ROOF_BF16] = { .how = "vdpbf16ps, 512 bits",
                                .each = SUMS * 32,
                                .run = jm_peak_avx512_bf16 } },
};
