/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a finished window may be reported as a result of its scenario. */
#ifndef JM_HARNESS_LOAD_VERDICT_H
#define JM_HARNESS_LOAD_VERDICT_H

#include "harness/load/load.h"

struct jm_verdict {
    bool valid;
    char reason[200]; /* of the first rule broken; "" when valid */
};

/* Queries that have come and are not answered: means over the second quarter of the arrivals and
 * over the last, so that batches which end at one moment do not pass for growth; arrivals and time
 * between the middles of both. All 0: too few arrivals. */
struct jm_backlog {
    double before, after, arrivals, seconds;
};

struct jm_backlog jm_load_backlog(const struct jm_load_result *r);

/* Rules: every sample was answered; the minimum count was reached, and the minimum duration but
 * for server and offline, whose length is drawn or foretold; server: each bound was kept by 99 % of
 * queries at 99 % confidence, by the early-stopping rule.
 *
 * Of a probe, 99 % of its queries have to keep each bound, at no confidence. In a steady window
 * the backlog may not grow by over twice what random arrivals alone make of it, the square root of
 * the number of arrivals meanwhile: a system a little too slow breaks no bound in a short time. */
void jm_load_judge(const struct jm_load_config *cfg, const struct jm_load_result *r,
                   struct jm_verdict *out);

/* Server: queries over any bound, of those answered. */
uint32_t jm_load_over(const struct jm_load_config *cfg, const struct jm_load_result *r);

#endif
