/* SPDX-License-Identifier: Apache-2.0 */
/* The highest arrival rate that a system serves within its bounds. */
#ifndef JM_HARNESS_LOAD_PEAK_H
#define JM_HARNESS_LOAD_PEAK_H

#include <stddef.h>

#include "harness/load/load.h"
#include "harness/load/verdict.h"

enum { JM_MAX_PROBES = 96 };

/* One server window tried on the way. Seconds; NAN where unavailable. */
struct jm_probe {
    double qps;
    bool confirmation; /* of full length and whole copies */
    uint32_t queries;  /* answered */
    double duration_s, p99_s, ttft_p99_s, tpot_p99_s, delay_p99_s;
    double served_qps; /* answered a second, in the half of the arrivals from 3/8 to 7/8 */
    struct jm_verdict verdict;
};

struct jm_peak {
    struct jm_probe probe[JM_MAX_PROBES]; /* [n], in order */
    size_t n;
};

/**
 * Searches for the highest rate at which a window of cfg is valid and steady. From cfg->target_qps
 * (0: the rate seen in a warm-up) it goes up or down by growing factors until a valid and an
 * invalid rate are known, and halves the distance between them to 3 %; the invalid one is tried
 * again then, as the machine may have been slow for a while. What is confirmed, by a window as cfg
 * asks for, is 99 % of the median rate at which invalid probes were answered, within 0.9 and 1
 * times the highest valid rate. Where that window is invalid, it is 99 % of the rate at which it
 * was answered, but 2 to 6 % lower, and so on, where need be in longer steps. Probes are a quarter
 * as long, and only one bound where the confirmation is ten; they count any number of samples, open
 * no cfg->window, and each has arrivals of its own seed. cfg->progress is told of the search as a
 * whole.
 *
 * used: cfg of the confirming window; its target_qps is the answer. result: that window's; takes
 * jm_load_result_free whatever the status. peak is filled as far as the search went.
 *
 * JM_ERANGE: no rate was valid, the text says how low was tried. Others as jm_load_run.
 */
jm_status jm_peak_find(const struct jm_sut *sut, const struct jm_load_config *cfg,
                       struct jm_peak *peak, struct jm_load_config *used,
                       struct jm_load_result *result, jm_err *err);

#endif
