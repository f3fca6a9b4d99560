/* SPDX-License-Identifier: Apache-2.0 */
/* Energy of a window: exact readings at both ends, and readings between so that no wrap-around is
 * missed and every failure is noticed. */
#ifndef JM_HARNESS_ENERGY_INTEGRATOR_H
#define JM_HARNESS_ENERGY_INTEGRATOR_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "harness/energy/meter.h"

struct jm_energy {
    bool available;
    char reason[200]; /* why not; empty when available */
    char source[32];  /* meter's name; empty without one */
    char scope[16];   /* what the joules cover */
    /* All NAN unless available; idle_w is the caller's to fill, NAN until then. */
    double joules, average_w, idle_w;
    double error_j; /* both window edges and the counter's step; gain errors are not in it */
    uint32_t reads, wraps;
};

/* A window without threads: begin, tick, end at times the caller gives (jm_now_ns). */
struct jm_integral {
    const struct jm_meter_ops *ops;
    jm_meter *meter;
    double first_j[JM_METER_DOMAINS], last_j[JM_METER_DOMAINS];
    int64_t t0_ns, last_ns;
    uint32_t first_wraps, wraps, reads;
    bool failed;
    char reason[200]; /* of the first failure */
};

/* ops and meter may be NULL: the result is then unavailable. One reader at a time. */
void jm_integral_begin(struct jm_integral *it, const struct jm_meter_ops *ops, jm_meter *meter,
                       int64_t now_ns);
void jm_integral_tick(struct jm_integral *it, int64_t now_ns);
/* Reads once more. Unavailable after any failed read, where a counted domain stood still, or where
 * a jump cannot be power (above 10 kW a domain). */
void jm_integral_end(struct jm_integral *it, int64_t now_ns, struct jm_energy *out);

typedef struct jm_integrator jm_integrator;

/* Starts a thread that reads every interval_ms (0: 100), or oftener where a counter could wrap
 * twice in between at 1 kW. reason says why there is no meter, if ops is NULL; may be NULL.
 * Nobody else may read the meter until stop. JM_ENOMEM, JM_EIO (no thread). */
jm_status jm_integrator_start(const struct jm_meter_ops *ops, jm_meter *meter, uint32_t interval_ms,
                              const char *reason, jm_integrator **out, jm_err *err);

/* Reads at once, ends the thread, frees it. NULL: out is unavailable. */
void jm_integrator_stop(jm_integrator *it, struct jm_energy *out);

/* Mean power for so many seconds in which the caller does nothing. *idle_w is NAN unless JM_OK.
 * JM_EDEVICE: no power to be had, the text says why. JM_EINTERRUPTED: *stop (may be NULL). */
jm_status jm_energy_idle(const struct jm_meter_ops *ops, jm_meter *meter, double seconds,
                         const volatile sig_atomic_t *stop, double *idle_w, jm_err *err);

#endif
