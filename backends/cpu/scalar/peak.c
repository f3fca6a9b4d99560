/* SPDX-License-Identifier: Apache-2.0 */
/* Peaks of plain C, as the compiler makes it. */
#include "backends/cpu/peak.h"

/* Keeps the compiler from knowing a value: what does not change would be computed once. */
#if defined(__x86_64__)
#define HIDE(v) __asm__ volatile("" : "+x"(v))
#elif defined(__aarch64__)
#define HIDE(v) __asm__ volatile("" : "+w"(v))
#else
#define HIDE(v) __asm__ volatile("" : "+m"(v))
#endif

enum { SUMS = 8 };

static uint64_t read_words(const void *p, size_t bytes)
{
    const uint64_t *w = p;
    uint64_t a = 0, b = 0, c = 0, d = 0;
    for (size_t i = 0; i < bytes / sizeof *w; i += 4) {
        a += w[i];
        b += w[i + 1];
        c += w[i + 2];
        d += w[i + 3];
    }
    return a + b + c + d;
}

static double mul_f32(uint64_t n)
{
    float sum[SUMS] = { 0 }, x = 1.0f, y = 1.0f;
    double total = 0.0;
#pragma GCC unroll 8
    for (int j = 0; j < SUMS; j++)
        HIDE(sum[j]);
    for (uint64_t i = 0; i < n; i++) {
#pragma GCC unroll 8
        for (int j = 0; j < SUMS; j++) {
            HIDE(x);
            sum[j] += x * y;
        }
    }
    for (int j = 0; j < SUMS; j++)
        total += (double)sum[j];
    return total;
}

const struct jm_cpu_peaks jm_peaks_scalar = {
    .isa = "scalar",
    .loads = "64-bit loads, in C",
    .read = read_words,
    .mul = { [JM_ROOF_F32] = { .how = "multiply and add, in C", .each = SUMS, .run = mul_f32 } },
};
