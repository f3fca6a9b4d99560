/* SPDX-License-Identifier: Apache-2.0 */
/* The readings of one meter over time, and the energy of any window within them. No threads: times
 * (jm_now_ns) are given by the caller. */
#ifndef JM_HARNESS_ENERGY_SERIES_H
#define JM_HARNESS_ENERGY_SERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "harness/energy/meter.h"

enum { JM_SERIES_FAULTS = 16, JM_ENERGY_REASON = 200 };

struct jm_series_fault {
    int64_t from_ns, to_ns; /* inclusive */
    char text[JM_ENERGY_REASON];
};

struct jm_series {
    uint32_t domains, width; /* width: doubles a row */
    struct jm_meter_domain domain[JM_METER_DOMAINS];
    size_t n, room, most; /* rows; at most: beyond it every second row is dropped */
    int64_t *t_ns;        /* [n] strictly rising */
    uint32_t *wraps;      /* [n] since open */
    bool *edge;           /* [n] begins or ends a phase: never dropped */
    double *row;          /* [n][width]: joules of each domain, sampling error, watts of each */
    struct jm_series_fault fault[JM_SERIES_FAULTS];
    size_t faults; /* all; only the first JM_SERIES_FAULTS are kept, and the last one's end */
    int64_t last_fault_ns;
};

/* most: rows kept at most (0: about 16 MB of them). JM_ENOMEM. */
jm_status jm_series_init(struct jm_series *s, const struct jm_meter_ops *ops, const jm_meter *meter,
                         size_t most, jm_err *err);
void jm_series_free(struct jm_series *s); /* takes one set to zero */

/* Adds a reading. Power is integrated by the trapezoid rule. A fault is kept where t_ns is before
 * the last one's, farther from it than a counted domain allows, or memory runs out. */
void jm_series_add(struct jm_series *s, int64_t t_ns, const double *value, uint32_t wraps,
                   bool edge);

/* A reading that failed, or a time without any: every window that touches it is void. */
void jm_series_fault(struct jm_series *s, int64_t from_ns, int64_t to_ns, const char *text);

struct jm_window {
    bool available;
    char reason[JM_ENERGY_REASON];   /* why not */
    double joules[JM_METER_DOMAINS]; /* all NAN unless available, of every domain */
    double total_j;                  /* over the counted ones */
    double average_w, peak_w;        /* peak: highest mean over a step, see jm_series_peak */
    double window_s, error_j;        /* error: bound, without the meter's gain error */
    double edge_j, still_j, per_s_j; /* of it: from updates; from counter steps; a second */
    uint32_t readings, wraps;        /* inside the window */
};

/**
 * Energy from t0_ns to t1_ns, ends interpolated where no reading was made there.
 *
 * Unavailable (never 0): the readings do not cover it; a reading failed in it; readings farther
 * apart than the domain allows; a counter that stood still (altogether, or for 1 s and 10 update
 * periods), went back, or jumped by more than 10 kW would; power that is negative.
 *
 * error_j = peak * update_s (each edge is up to one update late)
 *         + one step of every counter, or one step of power over the whole window
 *         + sum |w[k+1] - w[k]| * dt / 2 for sampled power, which bounds the trapezoid rule where
 *           power rises or falls all the way between two samples.
 * step_s: see jm_series_peak.
 */
void jm_series_window(const struct jm_series *s, double update_s, double step_s, int64_t t0_ns,
                      int64_t t1_ns, struct jm_window *out);

/* Window length in s for an error of share * energy at the window's mean power; INFINITY when no
 * length will do. */
double jm_window_needed_s(const struct jm_window *w, double share);

/* Joules of a domain since the first reading, at t_ns within the readings. */
double jm_series_joules(const struct jm_series *s, uint32_t domain, int64_t t_ns);

/* One domain of one meter over one window. */
struct jm_series_pick {
    const struct jm_series *series;
    uint32_t domain;
    int64_t t0_ns, t1_ns;
};

/* Highest mean power of n picks together over steps of step_s from the start of their windows; the
 * mean of the whole where it is shorter than a step. */
double jm_series_peak(const struct jm_series_pick *pick, size_t n, double step_s);

#endif
