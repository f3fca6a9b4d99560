/* SPDX-License-Identifier: Apache-2.0 */
/* What the load generator itself costs: scenarios against a system that answers at once. */
#ifndef JM_HARNESS_LOAD_SELFTEST_H
#define JM_HARNESS_LOAD_SELFTEST_H

#include <stddef.h>

#include "base/status.h"

enum { JM_SELFTEST_RATES = 2 };

struct jm_selftest_rate {
    double qps;
    /* Issued so long after the scheduled arrival: medians of 5 windows, the highest of all. */
    double delay_p50_s, delay_p99_s, delay_max_s;
};

struct jm_selftest {
    double single_ns;     /* a query in single-stream, from loop to loop; median of 5 windows */
    double offline_per_s; /* samples answered; median of 5 windows of 2,000,000 */
    struct jm_selftest_rate rate[JM_SELFTEST_RATES]; /* 1,000 and 50,000 a second */
    double floor_p99_s;     /* of jm_clock_floor_s; median of 5 windows between theirs */
    double core_wait_share; /* of the time of all, spent waiting for a core; NAN: unavailable */
    size_t bytes_per_sample;
};

/* Takes about 10 s and 100 MB. JM_ENOMEM, or as jm_load_run. */
jm_status jm_selftest_run(struct jm_selftest *out, jm_err *err);

#endif
