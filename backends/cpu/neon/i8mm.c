/* SPDX-License-Identifier: Apache-2.0 */
/* NEON kernels with SDOT and SMMLA: Cortex-A510, A710, Neoverse V1 and newer. */
#include "backends/cpu/neon/set.h"

const struct jm_cpu_kernels jm_cpu_neon_i8mm = JM_NEON_SET("neon-i8mm");
