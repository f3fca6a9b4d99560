/* SPDX-License-Identifier: Apache-2.0 */
/* Which kernel sets there are and which this machine can run. A set is used only when the processor
 * has its instructions and the OS saves its registers: on x86-64 __builtin_cpu_supports checks both
 * (it reads XCR0), on AArch64 the kernel names only what it supports. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/kernels.h"

enum {
    X86 = 1 << 0,
    AVX2 = 1 << 1,
    FMA = 1 << 2,
    F16C = 1 << 3,
    AVX_VNNI = 1 << 4,
    AVX512F = 1 << 5,
    AVX512BW = 1 << 6,
    AVX512VL = 1 << 7,
    AVX512VNNI = 1 << 8,
    ARM = 1 << 9,
    DOTPROD = 1 << 10,
    I8MM = 1 << 11,
    AVX512VBMI = 1 << 12,
    NOT_ASKED = 1 << 13, /* what only sets need that nobody has written */
};

static const char *const feature_names[] = {
    "x86-64",     "AVX2",         "FMA",     "F16C",    "AVX-VNNI", "AVX-512 F",   "AVX-512 BW",
    "AVX-512 VL", "AVX-512 VNNI", "AArch64", "dotprod", "i8mm",     "AVX-512 VBMI"
};

#if defined(__x86_64__)
#include <cpuid.h>

/* Neither F16C nor AVX-VNNI is a name that Clang's builtin knows. Both use the registers that AVX2
 * does. */
static unsigned avx_family(void)
{
    unsigned a = 0, b, c = 0, d, f = 0;
    if (__get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C))
        f |= F16C;
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4))
        f |= AVX_VNNI;
    return f;
}

static unsigned features(void)
{
    unsigned f = X86;
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2"))
        f |= AVX2 | avx_family();
    f |= __builtin_cpu_supports("fma") ? FMA : 0;
    f |= __builtin_cpu_supports("avx512f") ? AVX512F : 0;
    f |= __builtin_cpu_supports("avx512bw") ? AVX512BW : 0;
    f |= __builtin_cpu_supports("avx512vl") ? AVX512VL : 0;
    f |= __builtin_cpu_supports("avx512vnni") ? AVX512VNNI : 0;
    f |= __builtin_cpu_supports("avx512vbmi") ? AVX512VBMI : 0;
    return f;
}
#define ON_X86(kernel_set) .kernels = &(kernel_set)
#else
#define ON_X86(kernel_set) .kernels = NULL
#endif

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>

static unsigned features(void)
{
    unsigned f = ARM;
    f |= getauxval(AT_HWCAP) & HWCAP_ASIMDDP ? DOTPROD : 0;
    f |= getauxval(AT_HWCAP2) & HWCAP2_I8MM ? I8MM : 0;
    return f;
}
#define ON_ARM(kernel_set) .kernels = &(kernel_set)
#else
#define ON_ARM(kernel_set) .kernels = NULL
#endif

#if !defined(__x86_64__) && !defined(__aarch64__)
static unsigned features(void)
{
    return 0;
}
#endif

/* ---- what each set has; tests/test_kernels.c holds it against the sets themselves ---- */

enum op {
    LINEAR_F32,
    LINEAR_F16,
    LINEAR_Q8_0,
    LINEAR_Q4_0,
    LINEAR_Q4_K,
    LINEAR_Q6_K,
    LINEAR_STQ1_0,
    LINEAR_OTHERS,
    ATTEND,
    SWIGLU,
    GELU,
    RMS_NORM,
    ROPE,
    ARGMAX,
    QUANTISE,
    N_OPS
};

static const char *const op_names[N_OPS] = {
    [LINEAR_F32] = "linear F32",
    [LINEAR_F16] = "linear F16",
    [LINEAR_Q8_0] = "linear Q8_0",
    [LINEAR_Q4_0] = "linear Q4_0",
    [LINEAR_Q4_K] = "linear Q4_K",
    [LINEAR_Q6_K] = "linear Q6_K",
    [LINEAR_STQ1_0] = "linear STQ1_0",
    [LINEAR_OTHERS] = "linear, others",
    [ATTEND] = "attention",
    [SWIGLU] = "SwiGLU",
    [GELU] = "GELU",
    [RMS_NORM] = "RMS norm",
    [ROPE] = "rope",
    [ARGMAX] = "argmax",
    [QUANTISE] = "quantise",
};

static const char own[] = "own", in_c[] = "C", as_f32[] = "as F32", as_i14[] = "as I14";

static const char *const avx512_has[N_OPS] = {
    [LINEAR_F32] = own,  [LINEAR_F16] = as_i14, [LINEAR_Q8_0] = own,   [LINEAR_Q4_0] = own,
    [LINEAR_Q4_K] = own, [LINEAR_Q6_K] = own,   [LINEAR_STQ1_0] = own, [LINEAR_OTHERS] = as_i14,
    [ATTEND] = own,      [SWIGLU] = own,        [GELU] = own,          [RMS_NORM] = own,
    [ROPE] = own,        [ARGMAX] = own,        [QUANTISE] = own,
};

static const char *const avx2_has[N_OPS] = {
    [LINEAR_F32] = own,  [LINEAR_F16] = own,  [LINEAR_Q8_0] = own,   [LINEAR_Q4_0] = own,
    [LINEAR_Q4_K] = own, [LINEAR_Q6_K] = own, [LINEAR_STQ1_0] = own, [LINEAR_OTHERS] = as_f32,
    [ATTEND] = own,      [SWIGLU] = own,      [GELU] = own,          [RMS_NORM] = own,
    [ROPE] = own,        [ARGMAX] = own,      [QUANTISE] = own,
};

static const char *const neon_has[N_OPS] = {
    [LINEAR_F32] = own,  [LINEAR_F16] = own,  [LINEAR_Q8_0] = own,   [LINEAR_Q4_0] = own,
    [LINEAR_Q4_K] = own, [LINEAR_Q6_K] = own, [LINEAR_STQ1_0] = own, [LINEAR_OTHERS] = as_f32,
    [ATTEND] = own,      [SWIGLU] = own,      [GELU] = in_c,         [RMS_NORM] = own,
    [ROPE] = own,        [ARGMAX] = in_c,     [QUANTISE] = own,
};

static const char *const scalar_has[N_OPS] = {
    [LINEAR_F32] = in_c,  [LINEAR_F16] = in_c,  [LINEAR_Q8_0] = in_c,   [LINEAR_Q4_0] = in_c,
    [LINEAR_Q4_K] = in_c, [LINEAR_Q6_K] = in_c, [LINEAR_STQ1_0] = in_c, [LINEAR_OTHERS] = in_c,
    [ATTEND] = in_c,      [SWIGLU] = in_c,      [GELU] = in_c,          [RMS_NORM] = in_c,
    [ROPE] = in_c,        [ARGMAX] = in_c,      [QUANTISE] = in_c,
};

/* The best of each architecture first. */
static const struct set {
    const char *name, *needs;
    unsigned features;                    /* the same as needs */
    const char *const *has;               /* [N_OPS]; NULL: not written */
    const struct jm_cpu_kernels *kernels; /* NULL: not in this build */
} sets[] = {
    { .name = "avx512-vbmi",
      .needs = "x86-64 with AVX-512 F, BW, VL, VNNI, VBMI",
      .features = X86 | AVX2 | FMA | F16C | AVX512F | AVX512BW | AVX512VL | AVX512VNNI | AVX512VBMI,
      .has = avx512_has,
      ON_X86(jm_cpu_avx512_vbmi) },
    { .name = "avx512",
      .needs = "x86-64 with AVX-512 F, BW, VL, VNNI",
      .features = X86 | AVX2 | FMA | F16C | AVX512F | AVX512BW | AVX512VL | AVX512VNNI,
      .has = avx512_has,
      ON_X86(jm_cpu_avx512) },
    { .name = "avx-vnni",
      .needs = "x86-64 with AVX2, FMA, F16C, AVX-VNNI",
      .features = X86 | AVX2 | FMA | F16C | AVX_VNNI,
      .has = avx2_has,
      ON_X86(jm_cpu_avx_vnni) },
    { .name = "avx2",
      .needs = "x86-64 with AVX2, FMA, F16C",
      .features = X86 | AVX2 | FMA | F16C,
      .has = avx2_has,
      ON_X86(jm_cpu_avx2) },
    { .name = "neon-i8mm",
      .needs = "AArch64 with dotprod, i8mm",
      .features = ARM | DOTPROD | I8MM,
      .has = neon_has,
      ON_ARM(jm_cpu_neon_i8mm) },
    { .name = "neon-dotprod",
      .needs = "AArch64 with dotprod",
      .features = ARM | DOTPROD,
      .has = neon_has,
      ON_ARM(jm_cpu_neon_dotprod) },
    { .name = "neon", .needs = "AArch64", .features = ARM, .has = neon_has, ON_ARM(jm_cpu_neon) },
    { .name = "scalar", .needs = "any processor", .has = scalar_has, .kernels = &jm_cpu_scalar },
    { .name = "amx", .needs = "x86-64 with AMX", .features = X86 | NOT_ASKED },
    { .name = "sve", .needs = "AArch64 with SVE", .features = ARM | NOT_ASKED },
    { .name = "sme", .needs = "AArch64 with SME", .features = ARM | NOT_ASKED },
};
enum { N_SETS = sizeof sets / sizeof sets[0] };

static bool works(const struct set *s)
{
    return s->kernels && (s->features & ~features()) == 0;
}

const char *jm_cpu_forced_set(void)
{
    const char *isa = getenv("JM_CPU_ISA");
    return isa && *isa ? isa : NULL;
}

/* The set of that name, or the best, that works here. */
static const struct set *find(const char *isa)
{
    for (size_t i = 0; i < N_SETS; i++)
        if ((!isa || strcmp(isa, sets[i].name) == 0) && works(&sets[i]))
            return &sets[i];
    return NULL;
}

const struct jm_cpu_kernels *jm_cpu_kernels_for(const char *isa)
{
    const struct set *s = find(isa);
    return s ? s->kernels : NULL;
}

/* The first thing that is missing: another architecture lacks all the rest too. */
static const char *missing(const struct set *s)
{
    unsigned lacks = s->features & ~features();
    size_t n = sizeof feature_names / sizeof feature_names[0];
    for (size_t i = 0; i < n; i++)
        if (lacks & 1u << i)
            return feature_names[i];
    return "";
}

bool jm_cpu_kernel_set(size_t i, struct jm_kernel_set *out)
{
    if (i >= N_SETS)
        return false;
    const struct set *s = &sets[i];
    *out = (struct jm_kernel_set){ .name = s->name,
                                   .needs = s->needs,
                                   .written = s->has != NULL,
                                   .works = works(s),
                                   .chosen = find(jm_cpu_forced_set()) == s };
    snprintf(out->lacks, sizeof out->lacks, "%s", missing(s));
    for (size_t k = 0; s->has && k < N_OPS; k++)
        out->kernel[out->n++] = (struct jm_kernel){ .op = op_names[k], .how = s->has[k] };
    return true;
}
