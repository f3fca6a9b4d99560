/* SPDX-License-Identifier: Apache-2.0 */
/* Lines `time,watts` that an outside meter writes into a file or a FIFO. */
#ifndef JM_HARNESS_ENERGY_POWERLOG_H
#define JM_HARNESS_ENERGY_POWERLOG_H

#include "harness/energy/meter.h"

extern const struct jm_meter_ops jm_powerlog_ops;

#endif
