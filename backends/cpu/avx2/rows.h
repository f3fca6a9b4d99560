/* SPDX-License-Identifier: Apache-2.0 */
/* AVX2 kernels over rows of activations: see kernels.h. */
#ifndef JM_BACKENDS_CPU_AVX2_ROWS_H
#define JM_BACKENDS_CPU_AVX2_ROWS_H

#include "backends/cpu/kernels.h"

jm_swiglu_fn jm_avx2_swiglu;
jm_gelu_fn jm_avx2_gelu;
jm_rms_norm_fn jm_avx2_rms_norm;
jm_rope_fn jm_avx2_rope;
jm_argmax_fn jm_avx2_argmax;
jm_quantise_fn jm_avx2_quantise, jm_avx2_quantise64;

#endif
