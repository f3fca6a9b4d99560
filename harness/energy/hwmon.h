/* SPDX-License-Identifier: Apache-2.0 */
/* Sensors of boards and GPUs (energy, power, or voltage times current) through sysfs hwmon. */
#ifndef JM_HARNESS_ENERGY_HWMON_H
#define JM_HARNESS_ENERGY_HWMON_H

#include "harness/energy/meter.h"

extern const struct jm_meter_ops jm_hwmon_ops;

#endif
