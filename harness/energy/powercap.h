/* SPDX-License-Identifier: Apache-2.0 */
/* Linux powercap zones (RAPL of Intel and AMD) through sysfs. */
#ifndef JM_HARNESS_ENERGY_POWERCAP_H
#define JM_HARNESS_ENERGY_POWERCAP_H

#include "harness/energy/meter.h"

extern const struct jm_meter_ops jm_powercap_ops;

#endif
