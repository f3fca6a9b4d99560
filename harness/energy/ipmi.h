/* SPDX-License-Identifier: Apache-2.0 */
/* A server's own power reading (DCMI) through ipmitool or ipmi-dcmi. */
#ifndef JM_HARNESS_ENERGY_IPMI_H
#define JM_HARNESS_ENERGY_IPMI_H

#include "harness/energy/meter.h"

extern const struct jm_meter_ops jm_ipmi_ops;

#endif
