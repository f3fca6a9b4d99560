/* SPDX-License-Identifier: Apache-2.0 */
/* What the load generator's files share; nobody else includes it. */
#ifndef JM_HARNESS_LOAD_STATE_H
#define JM_HARNESS_LOAD_STATE_H

#include "base/rng.h"
#include "harness/load/load.h"

struct jm_load_state {
    const struct jm_sut *sut;
    const struct jm_load_config *cfg;
    uint32_t limit;            /* samples in a window at most */
    uint32_t room;             /* samples that there is memory for now */
    struct jm_sink sink;       /* .timing [room] */
    struct jm_sample *samples; /* [room] where all are prepared ahead, else NULL */
    uint32_t *order;           /* [sut->n_samples], the shuffled copy being issued */
    uint32_t at;               /* next place in order */
    uint32_t issued;           /* samples prepared, and but for server and offline issued */
    jm_rng rng;
    int64_t stall_ns, stalled_since_ns, progress_at_ns;
    uint32_t stalled_steps;
    double rate; /* answers a second in warm-up */
};

static inline bool jm_load_stopped(const struct jm_load_state *r)
{
    return r->cfg->stop && *r->cfg->stop;
}

/* Forgets what was issued; the next sample opens a copy that only the seed decides. */
jm_status jm_load_begin(struct jm_load_state *r, uint32_t max_ids, jm_err *err);

/* Prepares the sample of the next id; the caller stamps it and gives it to the system. */
struct jm_sample jm_load_next(struct jm_load_state *r);

/* One step of the system, under watch. */
jm_status jm_load_step(struct jm_load_state *r, jm_err *err);

/* JM_EINTERRUPTED with its text. */
jm_status jm_load_interrupted(jm_err *err);

/* Progress, at most every 0.2 s. */
void jm_load_report(struct jm_load_state *r, double fraction, int64_t now_ns);

/* One query after the other, of per_query samples each. */
jm_status jm_load_streams(struct jm_load_state *r, uint32_t per_query, struct jm_load_result *out,
                          jm_err *err);

/* Samples of an offline window, and the window once they are prepared. */
uint32_t jm_load_offline_total(const struct jm_load_state *r, struct jm_load_result *out);
jm_status jm_load_offline(struct jm_load_state *r, uint32_t total, struct jm_load_result *out,
                          jm_err *err);

/* Samples of a server window; arrivals relative to the first, into the times; the window. */
uint32_t jm_load_server_total(const struct jm_load_state *r, struct jm_load_result *out);
void jm_load_server_schedule(struct jm_load_state *r, uint32_t total);
jm_status jm_load_server(struct jm_load_state *r, uint32_t total, struct jm_load_result *out,
                         jm_err *err);

#endif
