/* SPDX-License-Identifier: Apache-2.0 */
/* See load_record.h. */
#include "harness/load_record.h"

#include <csv.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

static const double max_share = 0.01; /* of its metric that the harness may cost */

jm_status jm_load_settings(const struct jm_run_config *c, struct jm_load_config *out, jm_err *err)
{
    jm_status st = jm_scenario_find(c->scenario, &out->scenario, err);
    if (st != JM_OK)
        return st;
    out->seed = c->seed;
    out->warmup_s = c->warmup_s;
    out->min_duration_s = c->min_duration_s;
    out->min_queries = c->min_queries;
    out->samples_per_query = c->samples_per_query;
    out->target_qps = c->target_qps;
    out->latency_s = c->latency_ms * 1e-3;
    out->ttft_s = c->ttft_ms * 1e-3;
    out->tpot_s = c->tpot_ms * 1e-3;
    if (c->find_peak && out->scenario != JM_SERVER)
        return jm_fail(err, JM_EUSAGE, "find-peak works with the server scenario only, not with %s",
                       c->scenario);
    if (out->scenario == JM_SERVER && !c->find_peak && c->target_qps == 0.0)
        return jm_fail(err, JM_EUSAGE,
                       "the server scenario needs target-qps, or find-peak to search for it");
    return JM_OK;
}

jm_status jm_load_measure(const struct jm_sut *sut, bool find_peak, struct jm_load_evidence *e,
                          jm_err *err)
{
    struct jm_load_config cfg = e->cfg;
    jm_err why = { .status = JM_OK };

    jm_status st = find_peak ? jm_peak_find(sut, &cfg, &e->peak, &e->cfg, &e->result, &why)
                             : jm_load_run(sut, &cfg, &e->result, &why);
    if (st == JM_ERANGE) {
        e->verdict = (struct jm_verdict){ .valid = false };
        (void)snprintf(e->verdict.reason, sizeof e->verdict.reason, "%.199s", why.text);
        return JM_OK;
    }
    jm_load_judge(&e->cfg, &e->result, &e->verdict);
    return st == JM_OK ? JM_OK : jm_fail(err, st, "%s", why.text);
}

jm_status jm_load_latency(const struct jm_load_evidence *e, uint32_t n_samples,
                          struct jm_latency *out, jm_err *err)
{
    const struct jm_load_result *r = &e->result;
    jm_status st = jm_latency_compute(r->timings, r->issued, r->t_start_ns, out, err);
    if (st != JM_OK)
        return st;
    /* The first arrival opens the window and has no gap before it. */
    if (e->cfg.scenario == JM_SERVER && out->n > 0)
        out->queries_per_s = (out->n - 1) / out->duration_s;
    if (e->cfg.scenario != JM_MULTI_STREAM)
        return JM_OK;
    return jm_latency_queries(r->timings, r->issued, n_samples, e->cfg.samples_per_query, out, err);
}

static void record_bounds(struct jm_record *row, const struct jm_latency *l)
{
    const struct {
        double bound_s;
        const char *name;
        double *column;
    } all[] = {
        { l->p50_bound_s, "p50", &row->latency_p50_bound_ms },
        { l->p90_bound_s, "p90", &row->latency_p90_bound_ms },
        { l->p99_bound_s, "p99", &row->latency_p99_bound_ms },
        { l->p999_bound_s, "p99.9", &row->latency_p999_bound_ms },
    };
    char names[64] = "";
    size_t used = 0;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        *all[i].column = all[i].bound_s * 1e3;
        if (isnan(all[i].bound_s))
            continue;
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? " " : "",
                                 all[i].name);
    }
    jm_record_text(row->percentiles_supported, used ? names : "none");
}

static void record_server(struct jm_record *row, const struct jm_load_evidence *e)
{
    const struct jm_load_config *cfg = &e->cfg;
    row->target_qps = cfg->target_qps;
    if (e->peak.n > 0)
        row->peak_probes = e->peak.n;
    if (cfg->latency_s > 0.0)
        row->bound_latency_ms = cfg->latency_s * 1e3;
    if (cfg->ttft_s > 0.0)
        row->bound_ttft_ms = cfg->ttft_s * 1e3;
    if (cfg->tpot_s > 0.0)
        row->bound_tpot_ms = cfg->tpot_s * 1e3;
    row->over_bound = jm_load_over(cfg, &e->result);
}

static void record_clocks(struct jm_record *row, const struct jm_load_evidence *e)
{
    const struct jm_frequency *a = &e->before, *b = &e->after;
    row->core_wait_share = jm_core_wait_share(e->wait_before, e->wait_after);
    if (a->known && b->known) {
        row->frequency_start_khz = a->mean_khz;
        row->frequency_end_khz = b->mean_khz;
    }
    if (a->throttle_known && b->throttle_known && b->throttles >= a->throttles)
        row->throttle_events = b->throttles - a->throttles;
    jm_record_text(row->frequency_reason, b->reason[0] ? b->reason : a->reason);
}

/* Seconds of the scenario's metric that a query takes. */
static double metric_s(enum jm_scenario scenario, const struct jm_latency *l)
{
    switch (scenario) {
    case JM_SINGLE_STREAM:
        return l->p90_s;
    case JM_MULTI_STREAM:
    case JM_SERVER:
        return l->p99_s;
    case JM_OFFLINE:
        return l->duration_s / l->n;
    }
    return (double)NAN;
}

/* The share of its metric that reading meters costs; 0: what is unavailable makes no run invalid.
 */
static double record_meters(struct jm_record *row, const struct jm_load_evidence *e)
{
    const struct jm_meter_cost *m = &e->meters;
    row->meter_share = e->meter_share;
    if (m->available) {
        row->meter_difference = m->ratio.value - 1.0;
        row->meter_difference_low = m->ratio.low - 1.0;
        row->meter_difference_high = m->ratio.high - 1.0;
    }
    jm_record_text(row->meter_difference_reason, m->reason);
    return fmax(fmax(row->meter_share, row->meter_difference_low), 0.0); /* NAN: of the rest */
}

void jm_record_load(struct jm_record *row, struct jm_load_evidence *e, const struct jm_latency *l)
{
    double samples = e->cfg.scenario == JM_MULTI_STREAM ? e->cfg.samples_per_query : 1;

    record_bounds(row, l);
    record_clocks(row, e);
    if (e->cfg.scenario == JM_MULTI_STREAM)
        row->samples_per_query = e->cfg.samples_per_query;
    if (e->cfg.scenario == JM_SERVER)
        record_server(row, e);
    row->issue_delay_p50_us = l->delay_p50_s * 1e6;
    row->issue_delay_p99_us = l->delay_p99_s * 1e6;
    row->issue_delay_max_us = l->delay_max_s * 1e6;
    row->harness_ns = e->null_ns;
    row->harness_share = samples * e->null_ns * 1e-9 / metric_s(e->cfg.scenario, l);
    if (jm_standstill_seen(&e->standstill, e->verdict.reason, sizeof e->verdict.reason))
        e->verdict.valid = false;
    double meters = record_meters(row, e);
    double share = meters + (isnan(row->harness_share) ? 0.0 : row->harness_share);
    if (!e->verdict.valid || !(share > max_share))
        return;
    e->verdict.valid = false;
    (void)snprintf(e->verdict.reason, sizeof e->verdict.reason,
                   "measuring costs %.2g %% of what is measured (%.2g %% for reading meters), and "
                   "%g %% is allowed",
                   share * 100, meters * 100, max_share * 100);
}

static void put(FILE *f, double v)
{
    if (!isnan(v))
        (void)fprintf(f, "%.9g", v);
    (void)fputc(',', f);
}

jm_status jm_load_write_peak(const char *dir, const struct jm_peak *peak, jm_err *err)
{
    jm_writer w;
    if (peak->n == 0)
        return JM_OK;
    char *path = jm_asprintf("%s/peak.csv", dir);
    jm_status st = path ? jm_writer_open(path, &w, err)
                        : jm_fail(err, JM_ENOMEM, "%s: no memory for a path", dir);
    free(path);
    if (st != JM_OK)
        return st;
    (void)fputs("window,kind,target_qps,valid,queries,duration_s,latency_p99_ms,ttft_p99_ms,"
                "tpot_p99_ms,issue_delay_p99_us,served_qps,reason\n",
                w.f);
    for (size_t i = 0; i < peak->n; i++) {
        const struct jm_probe *p = &peak->probe[i];
        (void)fprintf(w.f, "%zu,%s,", i + 1, p->confirmation ? "confirmation" : "probe");
        put(w.f, p->qps);
        (void)fprintf(w.f, "%s,%u,", p->verdict.valid ? "yes" : "no", p->queries);
        put(w.f, p->duration_s);
        put(w.f, p->p99_s * 1e3);
        put(w.f, p->ttft_p99_s * 1e3);
        put(w.f, p->tpot_p99_s * 1e3);
        put(w.f, p->delay_p99_s * 1e6);
        put(w.f, p->served_qps);
        (void)csv_fwrite(w.f, p->verdict.reason, strlen(p->verdict.reason));
        (void)fputc('\n', w.f);
    }
    return jm_writer_commit(&w, err);
}
