/* SPDX-License-Identifier: Apache-2.0 */
/* NVIDIA GPUs through libnvidia-ml.so.1, loaded at run time. */
#ifndef JM_HARNESS_ENERGY_NVML_H
#define JM_HARNESS_ENERGY_NVML_H

#include "harness/energy/meter.h"

extern const struct jm_meter_ops jm_nvml_ops;

#endif
