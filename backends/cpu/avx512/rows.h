/* SPDX-License-Identifier: Apache-2.0 */
/* AVX-512 kernels over rows of activations: see kernels.h. */
#ifndef JM_BACKENDS_CPU_AVX512_ROWS_H
#define JM_BACKENDS_CPU_AVX512_ROWS_H

#include "backends/cpu/kernels.h"

jm_swiglu_fn jm_avx512_swiglu;
jm_gelu_fn jm_avx512_gelu;
jm_rms_norm_fn jm_avx512_rms_norm;
jm_rope_fn jm_avx512_rope;
jm_argmax_fn jm_avx512_argmax;
jm_quantise_fn jm_avx512_quantise;
jm_quantise16_fn jm_avx512_quantise16;
jm_norm_round_fn jm_avx512_norm_round;
jm_swiglu_round_fn jm_avx512_swiglu_round;

#endif
