/* SPDX-License-Identifier: Apache-2.0 */
/* NEON kernels for every AArch64 processor. */
#include "backends/cpu/neon/set.h"

const struct jm_cpu_kernels jm_cpu_neon = JM_NEON_SET("neon");
