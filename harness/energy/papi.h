/* SPDX-License-Identifier: Apache-2.0 */
/* Energy counters of whatever components this machine's PAPI was built with. */
#ifndef JM_HARNESS_ENERGY_PAPI_H
#define JM_HARNESS_ENERGY_PAPI_H

#include "harness/energy/meter.h"

extern const struct jm_meter_ops jm_papi_ops;

#endif
