/* SPDX-License-Identifier: Apache-2.0 */
/* The linears of AVX2 + FMA + F16C, over weights interleaved by 8 (pack.h). Compiled twice, by
 * kernels.c and vnni.c: with VPDPBUSD (AVX-VNNI) four products of bytes are added up in one
 * instruction, else in two or three. Sums of integers are exact and the rest runs in the same
 * order, so that both give the same bits, and a row alone the same as among others. */
#ifndef JM_BACKENDS_CPU_AVX2_SET_H
#define JM_BACKENDS_CPU_AVX2_SET_H

#include <math.h>

#include "backends/cpu/avx2/float.h"
#include "backends/cpu/avx2/quantised.h"
#include "backends/cpu/avx2/rows.h"

/* The same in both sets. */
jm_attend_fn jm_avx2_attend;
jm_attend16_fn jm_avx2_attend16;
jm_attend8_fn jm_avx2_attend8;
jm_to_half_fn jm_avx2_to_half;
jm_from_half_fn jm_avx2_from_half;
jm_add_fn jm_avx2_add;

/* One function a kind: compilers do worse with some of them in one, and join them unless told. */
#define OF_ITS_OWN static __attribute__((noinline))
OF_ITS_OWN void linear_q8(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                          float *y, size_t ldy, uint32_t g0, uint32_t g1, float *scratch)
{
    linear_quantised(w, x, n_rows, y, ldy, g0, g1, scratch, JM_PACK_Q8);
}

OF_ITS_OWN void linear_q4(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                          float *y, size_t ldy, uint32_t g0, uint32_t g1, float *scratch)
{
    linear_quantised(w, x, n_rows, y, ldy, g0, g1, scratch, JM_PACK_Q4);
}

OF_ITS_OWN void linear_stq(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                           float *y, size_t ldy, uint32_t g0, uint32_t g1, float *scratch)
{
    linear_quantised(w, x, n_rows, y, ldy, g0, g1, scratch, JM_PACK_STQ_SUMS);
}

OF_ITS_OWN void linear_q4k(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                           float *y, size_t ldy, uint32_t g0, uint32_t g1, float *scratch)
{
    linear_quantised(w, x, n_rows, y, ldy, g0, g1, scratch, JM_PACK_Q4K);
}

OF_ITS_OWN void linear_q6k(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                           float *y, size_t ldy, uint32_t g0, uint32_t g1, float *scratch)
{
    linear_quantised(w, x, n_rows, y, ldy, g0, g1, scratch, JM_PACK_Q6K);
}

OF_ITS_OWN void linear_f16(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                           float *y, size_t ldy, uint32_t g0, uint32_t g1, float *scratch)
{
    linear_float(w, x, n_rows, y, ldy, g0, g1, scratch, 1);
}

OF_ITS_OWN void linear_f32(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                           float *y, size_t ldy, uint32_t g0, uint32_t g1, float *scratch)
{
    linear_float(w, x, n_rows, y, ldy, g0, g1, scratch, 0);
}

static void linear(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows, float *y,
                   size_t ldy, uint32_t g0, uint32_t g1, float *scratch)
{
    switch (w->kind) {
    case JM_PACK_F16:
        linear_f16(w, x, n_rows, y, ldy, g0, g1, scratch);
        break;
    case JM_PACK_Q8:
        linear_q8(w, x, n_rows, y, ldy, g0, g1, scratch);
        break;
    case JM_PACK_Q4:
        linear_q4(w, x, n_rows, y, ldy, g0, g1, scratch);
        break;
    case JM_PACK_STQ_SUMS:
        linear_stq(w, x, n_rows, y, ldy, g0, g1, scratch);
        break;
    case JM_PACK_Q4K:
        linear_q4k(w, x, n_rows, y, ldy, g0, g1, scratch);
        break;
    case JM_PACK_Q6K:
        linear_q6k(w, x, n_rows, y, ldy, g0, g1, scratch);
        break;
    default:
        linear_f32(w, x, n_rows, y, ldy, g0, g1, scratch);
        break;
    }
}

/* Members of the sets' tables that are alike. */
#define JM_AVX2_SET(set_name)                                                                      \
    {                                                                                              \
        .isa = set_name,                                                                           \
        .pack = { .group = LANES, .f16 = JM_PACK_F16, .stq = JM_PACK_STQ_SUMS, .piece = PIECE },   \
        .k_block = 16, .linear = linear, .attend = jm_avx2_attend, .attend16 = jm_avx2_attend16,   \
        .attend8 = jm_avx2_attend8, .to_half = jm_avx2_to_half, .from_half = jm_avx2_from_half,    \
        .add = jm_avx2_add, .swiglu = jm_avx2_swiglu, .gelu = jm_avx2_gelu,                        \
        .rms_norm = jm_avx2_rms_norm, .rope = jm_avx2_rope, .argmax = jm_avx2_argmax,              \
        .quantise = jm_avx2_quantise, .quantise64 = jm_avx2_quantise64, .tables = make_tables      \
    }

#endif
