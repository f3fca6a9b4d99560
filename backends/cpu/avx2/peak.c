/* SPDX-License-Identifier: Apache-2.0 */
/* Peaks of AVX2 and FMA. */
#include <immintrin.h>

#include "backends/cpu/peak.h"

/* Keeps the compiler from knowing a value: what does not change would be computed once, and sums
 * that are alike would become one. */
#define HIDE(v) __asm__ volatile("" : "+x"(v))

enum { SUMS = 12 }; /* four times three: more than the latency of two pipes asks for */

static uint64_t read_vectors(const void *p, size_t bytes)
{
    const char *at = p;
    __m256i sum[8];
    uint64_t word[4];
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++)
        sum[j] = _mm256_setzero_si256();
    for (size_t i = 0; i < bytes; i += 256) {
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++)
            sum[j] = _mm256_add_epi64(
                sum[j], _mm256_load_si256((const __m256i *)(const void *)(at + i + 32 * j)));
    }
#pragma GCC unroll 8
    for (int j = 1; j < 8; j++)
        sum[0] = _mm256_add_epi64(sum[0], sum[j]);
    _mm256_storeu_si256((__m256i *)(void *)word, sum[0]);
    return word[0] + word[1] + word[2] + word[3];
}

static double mul_f32(uint64_t n)
{
    __m256 sum[SUMS], x = _mm256_set1_ps(1.0f), y = x;
    float lane[8];
    double total = 0.0;
#pragma GCC unroll 12
    for (int j = 0; j < SUMS; j++) {
        sum[j] = _mm256_setzero_ps();
        HIDE(sum[j]);
    }
    for (uint64_t i = 0; i < n; i++) {
        HIDE(x);
#pragma GCC unroll 12
        for (int j = 0; j < SUMS; j++)
            sum[j] = _mm256_fmadd_ps(x, y, sum[j]);
    }
#pragma GCC unroll 12
    for (int j = 0; j < SUMS; j++) {
        _mm256_storeu_ps(lane, sum[j]);
        for (int l = 0; l < 8; l++)
            total += (double)lane[l];
    }
    return total;
}

static double total_i32(__m256i v)
{
    int32_t lane[8];
    double total = 0.0;
    _mm256_storeu_si256((__m256i *)(void *)lane, v);
    for (int l = 0; l < 8; l++)
        total += lane[l];
    return total;
}

/* One input of two is hidden anew for every product: the same product would be made once. */
static double mul_i8(uint64_t n)
{
    __m256i sum[SUMS], x = _mm256_set1_epi8(1), y = x;
    const __m256i ones = _mm256_set1_epi16(1);
    double total = 0.0;
#pragma GCC unroll 12
    for (int j = 0; j < SUMS; j++) {
        sum[j] = _mm256_setzero_si256();
        HIDE(sum[j]);
    }
    for (uint64_t i = 0; i < n; i++) {
#pragma GCC unroll 12
        for (int j = 0; j < SUMS; j++) {
            HIDE(x);
            sum[j] = _mm256_add_epi32(sum[j], _mm256_madd_epi16(_mm256_maddubs_epi16(x, y), ones));
        }
    }
#pragma GCC unroll 12
    for (int j = 0; j < SUMS; j++)
        total += total_i32(sum[j]);
    return total;
}

static double mul_i16(uint64_t n)
{
    __m256i sum[SUMS], x = _mm256_set1_epi16(1), y = x;
    double total = 0.0;
#pragma GCC unroll 12
    for (int j = 0; j < SUMS; j++) {
        sum[j] = _mm256_setzero_si256();
        HIDE(sum[j]);
    }
    for (uint64_t i = 0; i < n; i++) {
#pragma GCC unroll 12
        for (int j = 0; j < SUMS; j++) {
            HIDE(x);
            sum[j] = _mm256_add_epi32(sum[j], _mm256_madd_epi16(x, y));
        }
    }
#pragma GCC unroll 12
    for (int j = 0; j < SUMS; j++)
        total += total_i32(sum[j]);
    return total;
}

const struct jm_cpu_peaks jm_peaks_avx2 = {
    .isa = "avx2",
    .loads = "256-bit loads",
    .read = read_vectors,
    .mul = { [JM_ROOF_F32] = { .how = "vfmadd, 256 bits", .each = SUMS * 8, .run = mul_f32 },
             [JM_ROOF_I8] = { .how = "vpmaddubsw + vpmaddwd + vpaddd, 256 bits",
                              .each = SUMS * 32,
                              .run = mul_i8 },
             [JM_ROOF_I16] = { .how = "vpmaddwd + vpaddd, 256 bits",
                               .each = SUMS * 16,
                               .run = mul_i16 } },
};
