/* SPDX-License-Identifier: Apache-2.0 */
/* A laptop's or phone's battery through sysfs power_supply, while it is discharging. */
#ifndef JM_HARNESS_ENERGY_BATTERY_H
#define JM_HARNESS_ENERGY_BATTERY_H

#include "harness/energy/meter.h"

extern const struct jm_meter_ops jm_battery_ops;

#endif
