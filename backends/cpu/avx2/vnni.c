/* SPDX-License-Identifier: Apache-2.0 */
/* AVX2 with VPDPBUSD on 256 bits: Alder Lake, Zen 5 and newer, also where AVX-512 is switched off.
 */
#include "backends/cpu/avx2/set.h"

const struct jm_cpu_kernels jm_cpu_avx_vnni = JM_AVX2_SET("avx-vnni");
