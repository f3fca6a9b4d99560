/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that reads one meter into a series. */
#ifndef JM_HARNESS_ENERGY_RECORDER_H
#define JM_HARNESS_ENERGY_RECORDER_H

#include <stdint.h>

#include "base/status.h"
#include "harness/energy/meter.h"
#include "harness/energy/series.h"

typedef struct jm_recorder jm_recorder;

/* Reads at once and then every interval_s (0: the meter's own, or 0.1 s), or oftener where a
 * counter could wrap twice in between at 1 kW. Nobody else may read the meter until stop.
 * JM_ENOMEM, JM_EIO (no thread). */
jm_status jm_recorder_start(const struct jm_meter_ops *ops, jm_meter *meter, double interval_s,
                            jm_recorder **out, jm_err *err);

/* A phase begins or ends: reads at once and returns the time of the reading. A meter that is slow
 * or brings its own times is not read; the time is then now. */
int64_t jm_recorder_mark(jm_recorder *r);

/* Ends the thread; first waits for readings that cover the last mark, where marks are not read:
 * as long as the meter's gap or two intervals. */
void jm_recorder_stop(jm_recorder *r);

/* Processor time of the reading thread since it began, nanoseconds. Before stop. */
int64_t jm_recorder_cpu_ns(const jm_recorder *r);

/* After stop; lives as long as the recorder. */
const struct jm_series *jm_recorder_series(const jm_recorder *r);
double jm_recorder_interval_s(const jm_recorder *r);

/* Stops if need be, without waiting for readings; takes NULL. The meter stays the caller's. */
void jm_recorder_free(jm_recorder *r);

/**
 * The time between two values of a meter in seconds: spins until the counters have changed a few
 * times, limit_s at most, and takes the longest time between changes. The meter's own claim where
 * nothing can be seen: sampled power, slow meters, or a counter that moves too rarely.
 */
double jm_meter_update_s(const struct jm_meter_ops *ops, jm_meter *meter, double limit_s);

#endif
