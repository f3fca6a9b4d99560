/* SPDX-License-Identifier: Apache-2.0 */
/* Which kernel sets this machine can run. A set is used only when CPUID names its instructions and
 * the OS saves its registers; __builtin_cpu_supports checks both (it reads XCR0). */
#include <string.h>

#include "backends/cpu/kernels.h"

#if defined(__x86_64__)
#include <cpuid.h>

/* F16C is not a name that Clang's builtin knows; it uses the registers that AVX2 does. */
static int has_f16c(void)
{
    unsigned a, b, c = 0, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C) != 0;
}

static int has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
}

static int has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}
#endif

const struct jm_cpu_kernels *jm_cpu_kernels_for(const char *isa)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if ((!isa || strcmp(isa, "avx512") == 0) && has_avx512())
        return &jm_cpu_avx512;
    if ((!isa || strcmp(isa, "avx2") == 0) && has_avx2())
        return &jm_cpu_avx2;
#endif
    return !isa || strcmp(isa, "scalar") == 0 ? &jm_cpu_scalar : NULL;
}
