/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a finished window may be reported as a result of its scenario. */
#ifndef JM_HARNESS_LOAD_VERDICT_H
#define JM_HARNESS_LOAD_VERDICT_H

#include "harness/load/load.h"

struct jm_verdict {
    bool valid;
    char reason[200]; /* of the first rule broken; "" when valid */
};

/* Rules: every sample was answered; the minimum count was reached, and the minimum duration but
 * for server and offline, whose length is drawn or foretold; server: each bound was kept by 99 % of
 * queries at 99 % confidence, by the early-stopping rule.
 *
 * Of a probe, 99 % of its queries have to keep each bound, at no confidence. It is too short for a
 * system that is a little too slow to break one; so its backlog (queries that came and are not
 * answered) is looked at when half have come, and when all have. Where it grew by over twice what
 * random arrivals alone do, the square root of their number, and would at that pace outlast the
 * longest bound within cfg->probe_of_s, the probe is invalid. */
void jm_load_judge(const struct jm_load_config *cfg, const struct jm_load_result *r,
                   struct jm_verdict *out);

/* Server: queries over any bound, of those answered. */
uint32_t jm_load_over(const struct jm_load_config *cfg, const struct jm_load_result *r);

#endif
