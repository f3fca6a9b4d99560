/* SPDX-License-Identifier: Apache-2.0 */
/* No meter: watts guessed from processor time and a power model file. Labelled estimated. */
#ifndef JM_HARNESS_ENERGY_ESTIMATE_H
#define JM_HARNESS_ENERGY_ESTIMATE_H

#include "harness/energy/meter.h"

extern const struct jm_meter_ops jm_estimate_ops;

#endif
