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
    struct jm_verdict verdict;
};

struct jm_peak {
    struct jm_probe probe[JM_MAX_PROBES]; /* [n], in order */
    size_t n;
};

/**
 * Searches for the highest rate at which a window of cfg is valid, to 2 %: doubles or halves from
 * cfg->target_qps (0: half the rate seen in a warm-up) until a valid and an invalid rate are known,
 * halves the distance between them, and confirms the highest valid rate by a window as cfg asks
 * for; where that is invalid, one 3 to 10 % lower, by the rate at which it was answered, and so on.
 * Probes are a quarter as long, and only one bound where the confirmation is ten; they are judged
 * by how their backlog grows (see jm_load_judge), count any number of samples, open no cfg->window,
 * and each has arrivals of its own seed. cfg->progress is told of the search as a whole.
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
