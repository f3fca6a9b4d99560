/* SPDX-License-Identifier: Apache-2.0 */
/* NEON kernels with SDOT: Cortex-A55, A75, Neoverse N1 and newer. */
#include "backends/cpu/neon/set.h"

const struct jm_cpu_kernels jm_cpu_neon_dotprod = JM_NEON_SET("neon-dotprod");
