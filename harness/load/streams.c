/* SPDX-License-Identifier: Apache-2.0 */
/* Single-stream and multi-stream: the next query is issued when all samples of the last are
 * answered. A sample costs two clock reads: at issue and, in the sink, at completion. */
#include "base/clock.h"
#include "harness/load/state.h"

static double fraction_done(const struct jm_load_config *cfg, double elapsed_s, uint32_t n)
{
    double a = cfg->min_duration_s > 0.0 ? elapsed_s / cfg->min_duration_s : 1.0;
    double b = cfg->min_queries > 0 ? (double)n / (double)cfg->min_queries : 1.0;
    return a < b ? a : b;
}

/* Between two copies of the data set: whether the window ends here. */
static bool window_ends(const struct jm_load_state *r, double elapsed_s, struct jm_load_result *out)
{
    if (elapsed_s >= r->cfg->min_duration_s && r->issued >= r->cfg->min_queries)
        return true;
    out->capped = r->issued == r->room;
    out->misjudged = out->capped && r->room < r->limit;
    return out->capped;
}

/* Stamps and issues n samples as one query. */
static jm_status query_issue(struct jm_load_state *r, uint32_t n, int64_t free_ns, jm_err *err)
{
    enum { PIECE = 64 };
    struct jm_sample piece[PIECE];
    uint32_t first = r->issued;
    jm_status st = JM_OK;

    int64_t now_ns = jm_now_ns();
    for (uint32_t done = 0; done < n && st == JM_OK;) {
        uint32_t m = n - done < PIECE ? n - done : PIECE;
        for (uint32_t i = 0; i < m; i++) {
            piece[i] = jm_load_next(r);
            struct jm_timing *t = &r->sink.timing[first + done + i];
            t->issue_ns = now_ns;
            t->delay_ns = (float)(now_ns - free_ns);
        }
        r->sink.capacity = r->issued;
        st = r->sut->issue(r->sut->state, piece, m, err);
        done += m;
    }
    return st;
}

jm_status jm_load_streams(struct jm_load_state *r, uint32_t per_query, struct jm_load_result *out,
                          jm_err *err)
{
    const uint32_t n_samples = r->sut->n_samples;
    int64_t last_ns = jm_now_ns();

    out->t_start_ns = last_ns;
    for (;;) {
        double elapsed_s = (double)(last_ns - out->t_start_ns) * 1e-9;
        uint32_t left = n_samples - r->at;
        if (left == 0) {
            if (window_ends(r, elapsed_s, out))
                return JM_OK;
            left = n_samples;
        }
        if (jm_load_stopped(r))
            return jm_load_interrupted(err);
        uint32_t first = r->issued, n = per_query < left ? per_query : left;
        jm_status st = query_issue(r, n, last_ns, err);
        while (st == JM_OK && r->sink.done < r->issued)
            st = jm_load_step(r, err);
        if (st != JM_OK)
            return st;
        for (uint32_t i = first; i < r->issued; i++)
            if (r->sink.timing[i].done_ns > last_ns)
                last_ns = r->sink.timing[i].done_ns;
        jm_load_report(r, fraction_done(r->cfg, elapsed_s, r->issued), last_ns);
    }
}
