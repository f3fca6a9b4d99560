/* SPDX-License-Identifier: Apache-2.0 */
/* Latency percentiles and throughput from the times of a run. */
#ifndef JM_HARNESS_STATS_LATENCY_H
#define JM_HARNESS_STATS_LATENCY_H

#include <stdint.h>

#include "base/status.h"
#include "harness/sut.h"

/* Seconds and rates; NAN where a value is unavailable, never 0 in its place. The percentile p of
 * n values is sorted[floor(n * p)], counted from 0. */
struct jm_latency {
    uint32_t n;                                               /* answers */
    double duration_s;                                        /* start to last completion */
    double mean_s, min_s, max_s, p50_s, p90_s, p99_s, p999_s; /* issue to completion */
    /* No lower than the true percentile at 99 % confidence; NAN where n is too small. */
    double p50_bound_s, p90_bound_s, p99_bound_s, p999_bound_s;
    double ttft_p50_s, ttft_p99_s; /* time to first token: first - issue */
    double tpot_p50_s, tpot_p99_s; /* per output token: (done - first) / (tokens_out - 1) */
    double delay_p50_s, delay_p99_s, delay_max_s; /* scheduled arrival to being given away */
    double queries_per_s, tokens_in_per_s, tokens_out_per_s; /* over duration_s */
};

/**
 * t         [n] times; those without completion are left out
 * start_ns  when the measured window began
 *
 * Answers of fewer than two tokens have no time per output token. JM_ENOMEM; JM_EDEVICE when an
 * answer is older than its sample.
 */
jm_status jm_latency_compute(const struct jm_timing *t, uint32_t n, int64_t start_ns,
                             struct jm_latency *out, jm_err *err);

/**
 * Replaces the latencies (mean to p999_bound_s) by those of queries of per_query samples, as
 * multi-stream issues them: done when the last of its samples is. The last query of a copy of the
 * data set is left out where it has fewer samples than the others, as are unanswered ones.
 *
 * t  [n] times by id, n_samples of them a copy. JM_ENOMEM.
 */
jm_status jm_latency_queries(const struct jm_timing *t, uint32_t n, uint32_t n_samples,
                             uint32_t per_query, struct jm_latency *out, jm_err *err);

#endif
