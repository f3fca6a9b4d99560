/* SPDX-License-Identifier: Apache-2.0 */
/* Which peaks there are, and which of them this machine can show. */
#include <string.h>

#include "backends/cpu/peak.h"

static const struct jm_cpu_peaks *const sets[] = {
#if defined(__x86_64__)
    &jm_peaks_avx512,
    &jm_peaks_avx2,
#elif defined(__aarch64__)
    &jm_peaks_neon_i8mm,
    &jm_peaks_neon_dotprod,
    &jm_peaks_neon,
#endif
    &jm_peaks_scalar,
};

const struct jm_cpu_peaks *jm_cpu_peaks_for(const char *isa)
{
    if (strcmp(isa, "avx512-vbmi") == 0) /* multiplies as avx512 does; it adds look-ups */
        isa = "avx512";
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        if (strcmp(sets[i]->isa, isa) == 0)
            return sets[i];
    }
    return NULL;
}

struct jm_peak_mul jm_cpu_peaks_mul(const struct jm_cpu_peaks *k, enum jm_roof_kind kind)
{
    struct jm_peak_mul m = k->mul[kind];
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (m.run == jm_peak_avx512_bf16 && !__builtin_cpu_supports("avx512bf16"))
        m.run = NULL;
#endif
    return m;
}
