/* SPDX-License-Identifier: Apache-2.0 */
/* Which kernel sets there are and which this machine can run. A set is used only when the processor
 * has its instructions and the OS saves its registers: on x86-64 __builtin_cpu_supports checks both
 * (it reads XCR0), on AArch64 the kernel names only what it supports. */
#include <string.h>

#include "backends/cpu/kernels.h"

#if defined(__x86_64__)
#include <cpuid.h>

/* F16C is not a name that Clang's builtin knows; it uses the registers that AVX2 does. */
static bool has_f16c(void)
{
    unsigned a, b, c = 0, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C) != 0;
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}

static bool has_avx512_vbmi(void)
{
    return has_avx512() && __builtin_cpu_supports("avx512vbmi");
}
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>

static bool has_dotprod(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
}

static bool has_i8mm(void)
{
    return has_dotprod() && (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0;
}
#endif

static bool always(void)
{
    return true;
}

#if defined(__x86_64__)
#define ON_X86(kernel_set, test) .kernels = &(kernel_set), .check = (test)
#else
#define ON_X86(kernel_set, test) .kernels = NULL
#endif
#if defined(__aarch64__)
#define ON_ARM(kernel_set, test) .kernels = &(kernel_set), .check = (test)
#else
#define ON_ARM(kernel_set, test) .kernels = NULL
#endif

#define AVX512_HAS                                                                                 \
    "linear F32 F16 (as 14-bit integers) Q8 Q4 Q2, attention, SwiGLU, GELU, norm, rope, argmax, "  \
    "quantise"
#define ARM_HAS "linear F32 F16 Q8 Q4 Q2, attention, SwiGLU, norm, rope, quantise"

/* The best of each architecture first. */
static const struct set {
    const char *name, *has, *needs;
    const struct jm_cpu_kernels *kernels; /* NULL: not in this build */
    bool (*check)(void);
} sets[] = {
    { .name = "avx512-vbmi",
      .has = "all of avx512, and STQ1_0 at 1.3 bits a weight: " AVX512_HAS,
      .needs = "x86-64 with AVX-512 F, BW, VL, VNNI, VBMI",
      ON_X86(jm_cpu_avx512_vbmi, has_avx512_vbmi) },
    { .name = "avx512",
      .has = AVX512_HAS,
      .needs = "x86-64 with AVX-512 F, BW, VL, VNNI",
      ON_X86(jm_cpu_avx512, has_avx512) },
    { .name = "avx2",
      .has = "linear F32 F16 Q8 Q4 Q2, attention, SwiGLU",
      .needs = "x86-64 with AVX2, FMA, F16C",
      ON_X86(jm_cpu_avx2, has_avx2) },
    { .name = "neon-i8mm",
      .has = ARM_HAS,
      .needs = "AArch64 with dotprod, i8mm",
      ON_ARM(jm_cpu_neon_i8mm, has_i8mm) },
    { .name = "neon-dotprod",
      .has = ARM_HAS,
      .needs = "AArch64 with dotprod",
      ON_ARM(jm_cpu_neon_dotprod, has_dotprod) },
    { .name = "neon", .has = ARM_HAS, .needs = "AArch64", ON_ARM(jm_cpu_neon, always) },
    { .name = "scalar",
      .has = "everything: the reference, in C",
      .needs = "any processor",
      .kernels = &jm_cpu_scalar,
      .check = always },
    { .name = "amx", .needs = "x86-64 with AMX" },
    { .name = "sve", .needs = "AArch64 with SVE" },
    { .name = "sme", .needs = "AArch64 with SME" },
};
enum { N_SETS = sizeof sets / sizeof sets[0] };

static bool works(const struct set *s)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
#endif
    return s->kernels && s->check();
}

const struct jm_cpu_kernels *jm_cpu_kernels_for(const char *isa)
{
    for (size_t i = 0; i < N_SETS; i++)
        if ((!isa || strcmp(isa, sets[i].name) == 0) && works(&sets[i]))
            return sets[i].kernels;
    return NULL;
}

bool jm_cpu_kernel_set(size_t i, struct jm_kernel_set *out)
{
    if (i >= N_SETS)
        return false;
    *out = (struct jm_kernel_set){
        .name = sets[i].name, .has = sets[i].has, .needs = sets[i].needs, .works = works(&sets[i])
    };
    return true;
}
