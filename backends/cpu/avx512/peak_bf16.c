/* SPDX-License-Identifier: Apache-2.0 */
/* The peak of AVX-512's dot products of BF16, which not every processor with AVX-512 has. */
#include <immintrin.h>

#include "backends/cpu/peak.h"

#define HIDE(v) __asm__ volatile("" : "+v"(v))

enum { SUMS = 16 };

double jm_peak_avx512_bf16(uint64_t n)
{
    const __m512 one = _mm512_set1_ps(1.0f);
    __m512bh x = _mm512_cvtne2ps_pbh(one, one), y = x;
    __m512 sum[SUMS];
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
            sum[j] = _mm512_dpbf16_ps(sum[j], x, y);
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
