/* SPDX-License-Identifier: Apache-2.0 */
/* The bounds that a server scenario may set, and what breaks one. Shared by the watch over a
 * running window and the verdict after it. */
#ifndef JM_HARNESS_LOAD_BOUNDS_H
#define JM_HARNESS_LOAD_BOUNDS_H

#include "harness/load/load.h"

enum jm_bound { JM_BOUND_LATENCY, JM_BOUND_TTFT, JM_BOUND_TPOT, JM_BOUNDS };

/* The share of queries that must keep each bound. */
#define JM_BOUND_PERCENTILE 0.99

/* Seconds; 0: not set. */
static inline double jm_bound_s(const struct jm_load_config *cfg, enum jm_bound kind)
{
    return kind == JM_BOUND_LATENCY ? cfg->latency_s
           : kind == JM_BOUND_TTFT  ? cfg->ttft_s
                                    : cfg->tpot_s;
}

/* Ends a sentence: "over 200 ms to the first token". */
static inline const char *jm_bound_name(enum jm_bound kind)
{
    return kind == JM_BOUND_LATENCY ? "of latency"
           : kind == JM_BOUND_TTFT  ? "to the first token"
                                    : "a token";
}

/* Time per token is undefined for an answer of one token; all else applies to every answer. */
static inline bool jm_bound_applies(enum jm_bound kind, const struct jm_timing *t)
{
    return kind != JM_BOUND_TPOT || (t->done_ns != 0 && t->first_ns != 0 && t->tokens_out >= 2);
}

/* Of a query whose time is up, or that is done. An answer in one piece comes with its first token:
 * where none was reported, the end counts. */
static inline bool jm_bound_broken(enum jm_bound kind, const struct jm_timing *t, double bound_s)
{
    double bound_ns = bound_s * 1e9;

    if (kind == JM_BOUND_TPOT)
        return (double)(t->done_ns - t->first_ns) > bound_ns * (t->tokens_out - 1);
    int64_t seen_ns = kind == JM_BOUND_TTFT && t->first_ns != 0 ? t->first_ns : t->done_ns;
    return seen_ns == 0 || (double)(seen_ns - t->issue_ns) > bound_ns;
}

#endif
